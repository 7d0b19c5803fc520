// SPDX-License-Identifier: MIT
/** One golden image, and more than one process with the same pid, each in its own namespaces. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { Workload } from '../../../lib/workload/index.ts';
import { Clones } from '../../helpers/clones.ts';
import { Machine } from '../../helpers/machine.ts';

const CLONES = 3;
const libdir = variantDir('full');

let machine: Machine;
let clones: Clones;
beforeEach(() => {
  machine = new Machine();
  clones = new Clones(machine);
});
afterEach(async () => {
  await clones.close();
  await machine.close();
});

/** Whose memory is moved by the interceptor, or handed over by a driver that does so. */
const kinds = [
  { memory: 'an interceptor has taken', env: { LD_PRELOAD: interceptorLibrary() } },
  { memory: 'the driver hands over', env: { SOFTCUDA_DRIVER: '615' } },
];

it.for(kinds)('of one golden image, of memory that $memory, run next to each other', async ({ env }) => {
  Object.assign(machine.env, env.SOFTCUDA_DRIVER === undefined ? {} : env);
  await machine.startPool();
  const workload = await Workload.start({
    socketPath: clones.socketPath,
    args: ['--alloc', '8Mx3', '--alloc', '2Mx4'],
    env: { ...machine.env, ...env },
  });
  const checksum = await workload.verify();
  const addresses = await workload.addresses();
  expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
  await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden: true });

  const all = await Promise.all(Array.from({ length: CLONES }, () => clones.start(libdir)));
  for (const ask of all) {
    expect(await ask('verify')).toContain(checksum);
    expect(await ask('addresses')).toContain(addresses);
  }
  // What one of them writes is its own.
  const [first, ...others] = all;
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
