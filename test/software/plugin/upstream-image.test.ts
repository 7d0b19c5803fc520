// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { builtProgram, interceptorLibrary } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { criuProgram, upstreamPlugin } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

/** CRIU's own plugin, with our cuda-checkpoint first in PATH. */
function upstream(): { libdir: string; env: Record<string, string> } {
  return {
    libdir: dirname(upstreamPlugin() ?? ''),
    env: {
      PATH: `${dirname(builtProgram('cuda-checkpoint'))}:${process.env.PATH ?? ''}`,
      CRIU_FAULT: '138', // CRIU's own switch: use the plugin although there is no GPU
    },
  };
}

it.for([
  ['our image with the upstream plugin', false, true],
  ['an upstream image with our plugin', true, false],
  ['an upstream image with the upstream plugin', true, true],
] as const)('restores %s', async ([, upstreamDumps, upstreamRestores], { skip }) => {
  if (upstreamPlugin() === undefined) skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
  const workload = await machine.start();
  const before = { checksum: await workload.verify(), addresses: await workload.addresses() };
  const dump = await machine.dump(workload, upstreamDumps ? upstream() : {});
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const restore = await machine.restore(upstreamRestores ? upstream() : {});
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(existsSync(join(machine.imagesDir, 'inventory.img'))).toBe(true);
  expect(await workload.verify()).toBe(before.checksum);
  expect(await workload.addresses()).toBe(before.addresses);
});

it('an image with device memory outside of it is refused by the upstream plugin', async ({ skip }) => {
  if (upstreamPlugin() === undefined) skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
  const libdir = variantDir('parallel');
  const workload = await machine.start({ env: { LD_PRELOAD: interceptorLibrary() } });
  const before = await workload.verify();
  // With host memory outside of the images as well, its file would be the reason.
  const dump = await machine.dump(workload, { libdir, env: { CRIU_CUDA_REMAP: '0' } });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const refused = await machine.restore(upstream());
  expect(refused.exitCode).not.toBe(0);
  expect(refused.log).toContain(`Missing required plugin: cuda-${workload.pid}.img`);
  expect(isAlive(workload.pid)).toBe(false);
  const restore = await machine.restore({ libdir });
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(await workload.verify()).toBe(before);
});
