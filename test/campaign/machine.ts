// SPDX-License-Identifier: MIT
/** The directories and the environment of one cycle, in a tmpfs that only the campaign sees. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { softcudaLibrary } from '../../lib/paths.ts';
import { startPool } from '../../lib/pool/index.ts';
import { waitForExit } from '../../lib/process/index.ts';
import { DriverReads } from './driver-reads.ts';

const ROOT = '/dev/shm';
const SCRATCH = join(ROOT, 'tmp');

/** A number that no other campaign on this machine has: that of its namespace of pids. */
export const campaignId = statSync('/proc/self/ns/pid').ino;

const CLOEXEC = 0o2000000;

/** Closes what the campaign has inherited, or the programs would have it as well. Node's own have FD_CLOEXEC. */
function closeInherited(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    const path = `/proc/self/fdinfo/${fd}`;
    const flags = existsSync(path) ? /^flags:\s*(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
    if (fd > 2 && flags !== undefined && !(parseInt(flags, 8) & CLOEXEC)) closeSync(fd);
  }
}

/** Gives this process file systems of its own; call it once, in a mount namespace of its own. */
export function isolate(): void {
  closeInherited();
  execFileSync('mount', ['--make-rprivate', '/']);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=1777', 'campaign', ROOT]);
  mkdirSync(SCRATCH);
  process.env.TMPDIR = SCRATCH;
}

export class CampaignMachine {
  /** Names of sockets are seen in all mount namespaces, so that of the directory is this campaign's. */
  readonly dir = join(ROOT, `cycle-${campaignId}`);
  readonly imagesDir = join(this.dir, 'images');
  readonly runDir = join(this.dir, 'run');
  readonly filesDir = join(this.dir, 'files');
  readonly faultDir = join(this.dir, 'fault');
  readonly #devices = join(this.dir, 'devices');
  readonly socketPath = join(this.filesDir, 'socket');
  readonly env: Record<string, string>;
  #poolPid: number | undefined;
  #isSmall = false;

  constructor() {
    // a cycle that was stuck has left its own
    for (const name of this.list(ROOT)) rmSync(join(ROOT, name), { recursive: true, force: true });
    for (const dir of [SCRATCH, this.dir, this.imagesDir, this.runDir, this.filesDir, this.faultDir])
      mkdirSync(dir);
    mkdirSync(this.#devices);
    // the program may belong to a user without privileges
    for (const dir of [this.dir, this.filesDir, this.#devices]) chmodSync(dir, 0o777);
    chmodSync(this.runDir, 0o700);
    writeFileSync(join(this.dir, 'cuda.conf'), '# nothing is set\n');
    this.env = {
      CRIU_CUDA_DRIVER: softcudaLibrary(),
      CRIU_CUDA_RUN_DIR: this.runDir,
      CRIU_CUDA_CONFIG: join(this.dir, 'cuda.conf'),
      CRIU_CUDA_LOCK_TIMEOUT_MS: '3000',
      CRIU_CUDA_STREAMS: '2',
      SOFTCUDA_DIR: this.#devices,
      SOFTCUDA_RESTORE_READS: DriverReads.pathIn(this.dir),
      SOFTCUDA_MEMORY_MB: '1100', // the pool's slabs have 512 MiB
    };
  }

  async startPool(env: Record<string, string>): Promise<void> {
    const { pid } = await startPool({ runDir: this.runDir, env: { ...this.env, ...env } });
    this.#poolPid = pid;
    // device files of a GPU are for all users
    for (const name of this.list(this.#devices)) chmodSync(join(this.#devices, name), 0o666);
  }

  get poolPid(): number | undefined {
    return this.#poolPid;
  }

  /** A small file system for the images. */
  limitImages(kib: number): void {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=700`, 'images', this.imagesDir]);
    this.#isSmall = true;
  }

  /** Makes it large again, for the restore that proves that nothing was lost. */
  growImages(): void {
    if (this.#isSmall) execFileSync('mount', ['-o', 'remount,size=4g', this.imagesDir]);
  }

  /** Ends the daemon. @returns whether it ended */
  async stopPool(): Promise<boolean> {
    const pid = this.#poolPid;
    this.#poolPid = undefined;
    if (pid === undefined || !existsSync(`/proc/${pid}`)) return true;
    process.kill(pid, 'SIGCONT');
    process.kill(pid, 'SIGTERM');
    return (await waitForExit(pid, { timeoutMs: 10_000 })) !== undefined;
  }

  /** Removes names that a killed criu has given to deleted files. @returns whether there were any */
  removeGhosts(): boolean {
    const ghosts = this.list(this.filesDir).filter((name) => name.endsWith('.ghost'));
    for (const name of ghosts) rmSync(join(this.filesDir, name));
    return ghosts.length > 0;
  }

  /** Nobody removes the images of a failed dump whose caller was killed. */
  clearImages(): void {
    for (const name of this.list(this.imagesDir)) rmSync(join(this.imagesDir, name), { recursive: true });
  }

  close(): void {
    if (this.#isSmall) execFileSync('umount', [this.imagesDir]);
    this.#isSmall = false;
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** What is in a directory; nothing if there is none. */
  list(dir: string): string[] {
    return existsSync(dir) ? readdirSync(dir) : [];
  }
}
