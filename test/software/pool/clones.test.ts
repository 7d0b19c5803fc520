// SPDX-License-Identifier: MIT
/** One golden image, and more than one process with the same pid, each in its own namespaces. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { readProcessTree } from '../../../lib/process/index.ts';
import { askWorkload, Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

const CLONES = 3;
const TIMEOUT_MS = 20_000;
const libdir = variantDir('full');

let machine: Machine;
let socketDir: string;
const namespaces: ChildProcess[] = [];

beforeEach(() => {
  machine = new Machine();
  socketDir = join(machine.dir, 'socket');
  mkdirSync(socketDir);
});
afterEach(async () => {
  for (const child of namespaces.splice(0)) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await machine.close();
});

/**
 * Restores in a new pid and mount namespace, in which the directory of the workload's socket is private.
 * @returns a function that sends the clone a request
 */
async function clone(number: number): Promise<(request: string) => Promise<string>> {
  const script = `mount -t tmpfs none '${socketDir}' && "$@" >/dev/null && echo restored && exec sleep infinity`;
  const restore = ['restore', '--restore-detached', '--images-dir', machine.imagesDir, '--libdir', libdir];
  const namespace = ['--pid', '--mount', '--fork', '--mount-proc', '--kill-child'];
  const child = spawn(
    'unshare',
    [...namespace, 'sh', '-c', script, 'sh', criuProgram(), ...restore, '-v4', '-o', `clone-${number}.log`],
    { env: { ...process.env, ...machine.env }, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  namespaces.push(child);
  const [said] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
  expect(String(said)).toContain('restored');
  const member = readProcessTree(child.pid ?? 0).find((stat) => stat.comm === 'workload-patter');
  expect(member).toBeDefined();
  const path = `/proc/${member?.pid}/root${join(socketDir, 'w.sock')}`;
  return (request) => askWorkload(path, request, TIMEOUT_MS);
}

/** Whose memory is moved by the interceptor, or handed over by a driver that does so. */
const kinds = [
  { memory: 'an interceptor has taken', env: { LD_PRELOAD: interceptorLibrary() } },
  { memory: 'the driver hands over', env: { SOFTCUDA_DRIVER: '615' } },
];

it.for(kinds)('of one golden image, of memory that $memory, run next to each other', async ({ env }) => {
  Object.assign(machine.env, env.SOFTCUDA_DRIVER === undefined ? {} : env);
  await machine.startPool();
  const workload = await Workload.start({
    socketPath: join(socketDir, 'w.sock'),
    args: ['--alloc', '8Mx3', '--alloc', '2Mx4'],
    env: { ...machine.env, ...env },
  });
  const checksum = await workload.verify();
  const addresses = await workload.addresses();
  expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
  await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden: true });

  const clones = await Promise.all(Array.from({ length: CLONES }, (_, number) => clone(number)));
  for (const ask of clones) {
    expect(await ask('verify')).toContain(checksum);
    expect(await ask('addresses')).toContain(addresses);
  }
  // What one of them writes is its own.
  const [first, ...others] = clones;
  expect(await first?.('fill 99')).toBe('ok');
  for (const ask of others) expect(await ask('verify')).toContain(checksum);
  expect(await first?.('verify')).not.toContain(checksum);
  // a restore is counted when its session has ended, after criu
  await expect
    .poll(async () => (await machine.poolStatus()).counters)
    .toMatchObject({ restores: CLONES, loads: 0, failures: 0 });
  const { images } = await machine.poolStatus();
  expect(images).toMatchObject([{ isGolden: true, state: 'resident' }]);
});
