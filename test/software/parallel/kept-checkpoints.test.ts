// SPDX-License-Identifier: MIT
/**
 * Checkpoints that earlier versions made, one of each protocol (scripts/keep-image.mjs): this version still reads them,
 * accepts them at the init of a restore, and loads their device memory. CRIU itself cannot complete a restore here,
 * because the images name the program and libraries of the machine that made them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import {
  checkCheckpoint,
  readCheckpointIndex,
  readGpuImages,
  supportedProtocols,
  verifyGpuImages,
} from '../../../lib/images/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';

interface Expected {
  protocol: number;
  pid: number;
  addresses: string[];
  checkpoint: string;
  bytes: number;
  checksums: string[];
  stripeSizes: number[];
  files: string[];
}

const kept = join(projectRoot, 'test/fixtures/checkpoints');
const archives = readdirSync(kept).filter((name) => name.endsWith('.tar.xz'));

it('there is one of every protocol that this version restores', () => {
  const { min, max } = supportedProtocols;
  const wanted = Array.from({ length: max - min + 1 }, (_, index) => `protocol-${min + index}.tar.xz`);
  expect(archives.sort()).toEqual(wanted.sort());
});

describe.each(archives)('%s', (archive) => {
  let machine: ParallelMachine;
  const expected = JSON.parse(
    readFileSync(join(kept, archive.replace('.tar.xz', '.json')), 'utf8'),
  ) as Expected;
  beforeEach(async () => {
    machine = new ParallelMachine();
    await exec('tar', ['-xf', join(kept, archive), '-C', machine.imagesDir]);
  });
  afterEach(() => machine.close());

  it('is read, field by field', async () => {
    expect(readdirSync(machine.imagesDir).sort()).toEqual(expected.files);
    await checkCheckpoint(machine.imagesDir);
    const index = await readCheckpointIndex(machine.imagesDir);
    expect(index?.id).toBe(expected.checkpoint);
    expect(index?.members).toMatchObject([{ pid: expected.pid, gpu: true }]);
    const [image, ...others] = await readGpuImages(machine.imagesDir);
    expect(others).toEqual([]);
    expect(image?.manifest).toMatchObject({
      protocol: expected.protocol,
      pid: expected.pid,
      checkpoint: expected.checkpoint,
      stripeSizes: expected.stripeSizes,
    });
    const { allocations = [], chunks = [] } = image?.manifest ?? {};
    expect(allocations.map(({ address }) => `0x${address.toString(16)}`)).toEqual(expected.addresses);
    const stored = chunks.filter(({ zero }) => !zero);
    expect(stored.map(({ xxh3 }) => xxh3.toString(16).padStart(16, '0'))).toEqual(expected.checksums);
  });

  it('has the right bytes', async () => {
    for (const image of await verifyGpuImages(machine.imagesDir)) expect(image).toMatchObject({ ok: true });
  });

  it('is loaded into device memory by the pool, which compares the checksums', async () => {
    await machine.startPool();
    await prefetchImages(machine.imagesDir, { runDir: machine.runDir });
    const { images } = await machine.poolStatus();
    expect(images).toMatchObject([{ pid: expected.pid, state: 'resident', bytes: expected.bytes }]);
  });

  it('is accepted at the init of a restore', async () => {
    const restored = await machine.tryRestore();
    expect(restored.log, errorsIn(restored.log)).toMatch(/0 golden copied, 1 loading/);
    // CRIU's next step, after init.
    expect(restored.log).toContain('Forking task with ');
    if (restored.exitCode === 0) await machine.kill(expected.pid);
    await machine.expectNothingLeft();
  });
});
