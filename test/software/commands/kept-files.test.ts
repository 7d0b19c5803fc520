// SPDX-License-Identifier: MIT
// Files of the dumped tree: what is in memory comes back as it was at every restore, what is missing is brought back, and what
// has changed is refused.
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { answerAt } from '../../helpers/answers.ts';
import { Machine } from '../../helpers/machine.ts';
import { MemoryFiles } from '../../helpers/memory-files.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/sharing.py');

interface Answer {
  private: number;
  shared: number;
  /** At the other end of the segment. */
  last: number;
  mapped: number;
  in_time: boolean;
  cwd: string;
}

interface Server {
  pid: number;
  port: number;
}

let machine: Machine;
/** On a disk. */
let disk: string;
let name: string;
let files: MemoryFiles;
const children: ChildProcess[] = [];
const servers: number[] = [];
beforeEach(() => {
  machine = new Machine();
  disk = mkdtempSync(join(tmpdir(), 'ccr-kept-'));
  name = `ccr-test-${process.pid}`;
  files = new MemoryFiles();
});
afterEach(async () => {
  for (const pid of servers.splice(0)) await end({ pid, port: 0 });
  for (const one of children.splice(0)) one.kill('SIGKILL');
  await machine.close();
  rmSync(disk, { recursive: true });
  files.remove();
});

const segment = (): string => `/dev/shm/${name}`;
const workDir = (): string => join(disk, 'work');

/** What the kept files take: without the holes of the segment. */
const keptBytes = (): number =>
  readdirSync(machine.imagesDir)
    .filter((file) => file.startsWith('criu-cuda-file-'))
    .reduce((sum, file) => sum + statSync(join(machine.imagesDir, file)).blocks * 512, 0);

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], { env: machine.env });

async function startServer(paths: readonly string[] = []): Promise<Server> {
  const path = join(machine.dir, 'output');
  const output = openSync(path, 'w');
  const child = spawn('setsid', ['python3', program, workDir(), name, ...paths], {
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  children.push(child);
  const [, pid, port] = await waitUntil(() => /pid (\d+) port (\d+)/.exec(readFileSync(path, 'utf8')));
  servers.push(Number(pid));
  files.add(Number(pid));
  return { pid: Number(pid), port: Number(port) };
}

async function ask({ pid, port }: Server): Promise<Answer> {
  const answer = await answerAt<Answer>(port);
  files.add(pid); // both processes have opened theirs
  return answer;
}

async function dump({ pid }: Server): Promise<void> {
  const tree = readProcessTree(pid).map((one) => one.pid);
  const dumped = await cli(['checkpoint', String(pid), machine.imagesDir]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  await Promise.all(tree.map((one) => waitForExit(one)));
}

const tryRestore = (more: readonly string[] = []): Promise<ExecResult> =>
  cli(['restore', machine.imagesDir, '--detach', ...more]);

async function restore(more: readonly string[] = []): Promise<string> {
  const restored = await tryRestore(more);
  expect(restored.exitCode, restored.stdout + restored.stderr).toBe(0);
  return restored.stdout;
}

/** Orphans become our children. */
async function end({ pid }: Server): Promise<void> {
  const tree = readProcessTree(pid).map((one) => one.pid);
  await machine.kill(pid);
  await Promise.all(tree.map((one) => waitForExit(one)));
}

it('shared memory, semaphores and a mapped file in a temporary directory come back as they were, any number of times', async () => {
  const server = await startServer();
  expect(await ask(server)).toMatchObject({ private: 1, shared: 1, in_time: true });
  await dump(server);
  expect(files.linkRemaps()).toEqual([]);
  expect(keptBytes()).toBeLessThan(1 << 20);
  for (let round = 0; round < 3; round++) {
    await restore();
    for (const count of [2, 3]) {
      expect(await ask(server)).toEqual({
        private: count,
        shared: count,
        last: count,
        mapped: count,
        in_time: true,
        cwd: workDir(),
      });
    }
    await end(server);
  }
  const log = readFileSync(join(workDir(), 'log'), 'utf8').trim().split('\n');
  expect(log).toEqual(['asked 1', ...Array.from({ length: 3 }, () => ['asked 2', 'asked 3']).flat()]);
});

it('so does a segment of which only mappings are left, in a tree without temporary files', async () => {
  rmSync(disk, { recursive: true });
  disk = mkdtempSync(join(projectRoot, 'plugins-cuda/build/ccr-kept-'));
  const server = await startServer();
  await ask(server);
  await dump(server);
  for (let round = 0; round < 2; round++) {
    await restore(['--keep-shared', join(workDir(), 'metrics')]);
    expect(await ask(server)).toMatchObject({ private: 2, shared: 2 });
    await end(server);
  }
});

it('after a reboot: what was in memory or in a temporary directory is brought back', async () => {
  const server = await startServer();
  await ask(server);
  const log = statSync(join(workDir(), 'log'));
  await dump(server);
  rmSync(workDir(), { recursive: true });
  files.remove(); // the segment and the semaphores
  const said = await restore();
  expect(said).toContain(segment());
  expect(await ask(server)).toEqual({
    private: 2,
    shared: 2,
    last: 2,
    mapped: 2,
    in_time: true,
    cwd: workDir(),
  });
  expect(statSync(join(workDir(), 'pipe')).isFIFO()).toBe(true);
  const { mode, uid, gid } = statSync(join(workDir(), 'log'));
  expect({ mode, uid, gid }).toEqual({ mode: log.mode, uid: log.uid, gid: log.gid });
  expect(readFileSync(join(workDir(), 'log'), 'utf8')).toBe('asked 1\nasked 2\n');
  await end(server);
});

it('a segment that another process uses is refused by name and pid, or left as it is', async () => {
  const server = await startServer();
  await ask(server);
  await dump(server);
  await restore();
  await ask(server);
  const content = readFileSync(segment());
  await end(server);
  // Python's tracker of shared memory removes it if it notices the end of the server before its own
  if (!existsSync(segment())) writeFileSync(segment(), content, { mode: 0o600 });
  const other = spawn('sh', ['-c', 'exec sleep 1000 3<>"$0"', segment()], { stdio: 'ignore' });
  children.push(other);
  await waitUntil(() => readFileSync(`/proc/${other.pid ?? 0}/comm`, 'utf8') === 'sleep\n');
  const refused = await tryRestore(['--json']);
  expect(refused.exitCode).toBe(2);
  expect(refused.stdout).toContain(
    `${segment()} has changed since the dump, and process ${other.pid ?? 0} uses it`,
  );
  expect(isAlive(server.pid)).toBe(false);
  await restore(['--keep-shared', segment()]);
  expect(await ask(server)).toMatchObject({ private: 2, shared: 3 });
  await end(server);
});

it('everything that is missing or has changed is listed at once, and nothing is done', async () => {
  const big = (file: string): string => {
    writeFileSync(join(disk, file), Buffer.alloc(2 << 20, file));
    return join(disk, file);
  };
  const [missing, gone, shorter, database] = [
    big('weights-1'),
    big('weights-2'),
    big('config'),
    big('state.db'),
  ];
  const server = await startServer([missing, gone, shorter, database]);
  await ask(server);
  await dump(server);
  rmSync(missing);
  rmSync(gone);
  rmSync(workDir(), { recursive: true });
  writeFileSync(shorter, 'shorter');
  writeFileSync(database, Buffer.alloc(2 << 20, 'other bytes of the same size'));
  utimesSync(database, 1, 1);
  const refused = await tryRestore();
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain(`${missing} is missing (2 MiB, mode 0644); ${gone} is missing`);
  expect(refused.stderr).toContain(`${shorter} has changed since the dump: 2 MiB at the dump, 7 B now`);
  expect(refused.stderr).toContain(`${database} has changed since the dump`);
  expect(existsSync(workDir())).toBe(false);
  for (const file of ['weights-1', 'weights-2', 'config']) big(file);
  await restore(['--keep-shared', database]);
  await waitFor(async () => {
    expect(await ask(server)).toMatchObject({ private: 2, shared: 2 });
  });
  await end(server);
});
