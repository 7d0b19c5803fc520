// SPDX-License-Identifier: MIT
/** Programs whose processes hold device files of the driver, and what of these a dump and a restore must keep. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { exec } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { killTree, readProcessTree, waitForExit } from '../../lib/process/index.ts';
import { answerAt } from './answers.ts';
import type { Machine } from './machine.ts';

const program = join(projectRoot, 'test', 'fixtures', 'servers', 'device_files.py');

/** What a process of the program says. */
export interface HolderAnswer {
  pid: number;
  /** Results of cuInit and of a copy, and whether the memory has its bytes. */
  cuda?: [number, number, boolean];
  /** The result of a query, and whether it gave the size of the memory. */
  nvml?: [number, boolean];
}

/** A descriptor of a device file. */
export interface DeviceDescriptor {
  pid: number;
  fd: number;
  path: string;
  /** As in /proc/PID/fdinfo, octal; with O_CLOEXEC. */
  flags: string;
  position: number;
  /** The same number for descriptors that share an open file. */
  file: number;
}

/** Compares open files with kcmp, which Node cannot call. */
const script = `
import ctypes, json, os, sys
libc, found = ctypes.CDLL(None), []
for pid in map(int, sys.argv[1:]):
    for fd in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
        path = os.readlink(f"/proc/{pid}/fd/{fd}")
        if not path.endswith("/softcudactl"):
            continue
        info = dict(line.split(":", 1) for line in open(f"/proc/{pid}/fdinfo/{fd}"))
        same = [one["file"] for one in found if libc.syscall(312, one["pid"], pid, 0, one["fd"], fd) == 0]
        found.append({"pid": pid, "fd": fd, "path": path, "flags": info["flags"].strip(), "position": int(info["pos"]),
                      "file": same[0] if same else len(found)})
print(json.dumps(found))
`;

export interface HolderOptions {
  env?: Record<string, string>;
  /** Put in front of the program: words of a command that executes it. */
  under?: readonly string[];
}

export class DeviceHolder {
  readonly pid: number;
  readonly #port: number;

  private constructor(pid: number, port: number) {
    this.pid = pid;
    this.#port = port;
  }

  /** Starts the program, which does these things; see device_files.py. */
  static async start(
    machine: Machine,
    words: readonly string[],
    { env = {}, under = [] }: HolderOptions = {},
  ): Promise<DeviceHolder> {
    const [command = 'python3', ...args] = [...under, 'python3', program, ...words];
    const child = spawn(command, args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...machine.env, ...env },
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value: line } = (await lines.next()) as { value: string | undefined };
    const [, pid, port] = /^pid (\d+) port (\d+)$/.exec(line ?? '') ?? [];
    if (pid === undefined) throw new Error(`device_files.py has ended: ${line ?? ''}`);
    return new DeviceHolder(Number(pid), Number(port));
  }

  /** What the program says, then its workers. */
  ask(): Promise<HolderAnswer[]> {
    return answerAt(this.#port);
  }

  /** The program, then its workers in the order of their pids. */
  #pids(): number[] {
    const workers = readProcessTree(this.pid).flatMap(({ pid }) => (pid === this.pid ? [] : [pid]));
    return [this.pid, ...workers.sort((a, b) => a - b)];
  }

  /** All descriptors of device files in the tree: those of the program, then those of its workers by pid. */
  async descriptors(): Promise<DeviceDescriptor[]> {
    const { stdout } = await exec('python3', ['-c', script, ...this.#pids().map(String)]);
    return JSON.parse(stdout) as DeviceDescriptor[];
  }

  /** The addresses and rights of mappings of device files, and of what a restore maps instead, by process. */
  mappings(): { pid: number; device: string[]; empty: string[] }[] {
    return this.#pids().map((pid) => {
      const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
      const those = (pattern: RegExp): string[] =>
        lines.flatMap((line) => (pattern.test(line) ? [line.split(' ').slice(0, 2).join(' ')] : []));
      return { pid, device: those(/\/softcudactl$/), empty: those(/\/memfd:criu-cuda-device/) };
    });
  }

  /** Kills the tree, and waits until all of it is collected: a restore needs the pids. */
  async end(): Promise<void> {
    const tree = readProcessTree(this.pid).map(({ pid }) => pid);
    await killTree(this.pid);
    await Promise.all(tree.map((pid) => waitForExit(pid)));
  }
}
