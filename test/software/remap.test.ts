// SPDX-License-Identifier: MIT
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { variantDir } from '../../lib/paths.ts';
import { Machine } from '../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const libdir = variantDir('remap');

/** Bytes in CRIU's own page images. */
function pagesBytes(dir: string): number {
  return readdirSync(dir)
    .filter((name) => /^pages-\d+\.img$/.test(name))
    .reduce((total, name) => total + statSync(join(dir, name)).size, 0);
}

it('keeps the device memory of a program without the interceptor out of CRIU’s images', async () => {
  const workload = await machine.start({ args: ['--alloc', '32Mx6', '--host', '8M'] });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  const dump = await machine.dump(workload, { libdir });
  expect(dump.exitCode, dump.log.slice(-3000)).toBe(0);
  expect(pagesBytes(machine.imagesDir)).toBeLessThan(8 * 2 ** 20);
  for (let round = 0; round < 2; round += 1) {
    const restore = await machine.restore({ libdir });
    expect(restore.exitCode, restore.log.slice(-3000)).toBe(0);
    expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
    if (round === 0) await machine.kill(workload.pid);
  }
});
