// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildDir } from '../../../lib/paths.ts';
import { criuProgram, upstreamPlugin } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

/** CRIU's own plugin, with our replacement for the cuda-checkpoint program first in PATH. */
function upstream(): { libdir: string; env: Record<string, string> } {
  return {
    libdir: dirname(upstreamPlugin() ?? ''),
    env: {
      PATH: `${join(buildDir(), 'test-tools')}:${process.env.PATH ?? ''}`,
      CRIU_FAULT: '138', // CRIU's own switch: use the plugin although there is no GPU
    },
  };
}

it.for([
  ['our image with the upstream plugin', false],
  ['an upstream image with our plugin', true],
] as const)('restores %s', async ([, upstreamDumps], { skip }) => {
  if (upstreamPlugin() === undefined) skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
  const workload = await machine.start();
  const before = { checksum: await workload.verify(), addresses: await workload.addresses() };
  const dump = await machine.dump(workload, upstreamDumps ? upstream() : {});
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const restore = await machine.restore(upstreamDumps ? {} : upstream());
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(existsSync(join(machine.imagesDir, 'inventory.img'))).toBe(true);
  expect(await workload.verify()).toBe(before.checksum);
  expect(await workload.addresses()).toBe(before.addresses);
});
