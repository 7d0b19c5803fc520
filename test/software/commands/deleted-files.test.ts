// SPDX-License-Identifier: MIT
// CRIU gives a deleted file that has another name one of its own, such as /dev/shm/link_remap.7 for a POSIX semaphore. The plugin
// makes each dump count from a number of its own, so that programs are dumped and restored at the same moment.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { programFile } from '../../../lib/paths.ts';
import { readProcessTree } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { SharingServer } from '../../helpers/sharing-server.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

const ROUNDS = 3;

let machine: Machine;
let servers: SharingServer[];
beforeEach(async () => {
  machine = new Machine();
  servers = await Promise.all(Array.from({ length: 3 }, () => SharingServer.start(machine)));
});
afterEach(async () => {
  for (const server of servers) await server.close();
  await machine.close();
});

const typed = (...args: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [programFile, ...args], { env: machine.env });

/** Does something with each server and its directory, at the same moment. */
async function all(act: (server: SharingServer, dir: string) => Promise<ExecResult>): Promise<void> {
  const runs = await Promise.all(servers.map((server, i) => act(server, join(machine.dir, `images-${i}`))));
  expect(runs.map(({ stderr, exitCode }) => [exitCode, exitCode === 0 ? '' : stderr])).toEqual(
    servers.map(() => [0, '']),
  );
}

it('three programs with semaphores are dumped at once, and restored at once', async () => {
  for (const server of servers) expect(await server.ask()).toMatchObject({ private: 1, shared: 1 });
  for (let round = 1; round <= ROUNDS; round++) {
    const pids = servers.flatMap(({ pid }) => readProcessTree(pid).map((one) => one.pid));
    await all((server, dir) => typed('checkpoint', '--force', String(server.pid), dir));
    await waitUntilFree(...pids);
    for (const server of servers) expect(server.linkRemaps()).toEqual([]);
    await all((_, dir) => typed('restore', '--detach', dir));
    for (const server of servers)
      expect(await server.ask()).toMatchObject({ private: round + 1, shared: round + 1, in_time: true });
    for (const server of servers) expect(server.linkRemaps()).toEqual([]);
  }
  await all((server, dir) => typed('checkpoint', '--force', '--leave-running', String(server.pid), dir));
  for (const server of servers)
    expect(await server.ask()).toMatchObject({ private: ROUNDS + 2, shared: ROUNDS + 2, in_time: true });
});
