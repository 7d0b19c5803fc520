// SPDX-License-Identifier: MIT
/** Processes from one image that run next to each other, each restore in its own pid and mount namespace. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readProcessTree } from '../../lib/process/index.ts';
import { askWorkload } from '../../lib/workload/index.ts';
import { criuProgram } from './criu.ts';
import type { Machine } from './machine.ts';

const TIMEOUT_MS = 20_000;

export class Clones {
  /** Of the workload that is dumped. The directory is private to each clone. */
  readonly socketPath: string;
  readonly #machine: Machine;
  readonly #socketDir: string;
  readonly #namespaces: ChildProcess[] = [];
  #started = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#socketDir = join(machine.dir, 'socket');
    this.socketPath = join(this.#socketDir, 'w.sock');
    mkdirSync(this.#socketDir);
  }

  /** @returns a function that sends the clone a request */
  async start(libdir: string): Promise<(request: string) => Promise<string>> {
    const { imagesDir, env } = this.#machine;
    const log = `clone-${this.#started++}.log`;
    const mount = `mount -t tmpfs none '${this.#socketDir}'`;
    const script = `${mount} && "$@" >/dev/null && echo restored && exec sleep infinity`;
    const restore = ['restore', '--restore-detached', '--images-dir', imagesDir, '--libdir', libdir];
    const namespace = ['--pid', '--mount', '--fork', '--mount-proc', '--kill-child'];
    const child = spawn(
      'unshare',
      [...namespace, 'sh', '-c', script, 'sh', criuProgram(), ...restore, '-v4', '-o', log],
      { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    this.#namespaces.push(child);
    const [said] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
    expect(String(said)).toContain('restored');
    const member = readProcessTree(child.pid ?? 0).find(({ comm }) => comm.startsWith('workload-'));
    expect(member).toBeDefined();
    const path = `/proc/${member?.pid}/root${this.socketPath}`;
    return (request) => askWorkload(path, request, TIMEOUT_MS);
  }

  async close(): Promise<void> {
    for (const child of this.#namespaces.splice(0)) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
}
