// SPDX-License-Identifier: MIT
/**
 * Engines restore from a copy of the images directory. A copy of a resident image is known by its content: it gets the
 * memory that is on the device, and never that of another image.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IndexSchema } from '../../../lib/images/gen/index_pb.ts';
import { ManifestSchema } from '../../../lib/images/gen/image_pb.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { readStat } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { changeManifest } from '../../helpers/gpu-image.ts';
import type { CriuOptions, CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';

const libdir = variantDir('full');
/** CRIU looks for page files where they were written, unless the program is in a container. */
const noPageFiles = { CRIU_CUDA_REMAP: '0' };
/** In the data of the first chunk. */
const SOMEWHERE = 1 << 20;

let machine: ParallelMachine;
let copy: string;
let workload: Workload;
let before: string;
beforeEach(async () => {
  machine = new ParallelMachine();
  copy = join(machine.dir, 'copy');
  await machine.startPool();
  workload = await machine.startIntercepted();
  before = await snapshot(workload);
  const dumped = await machine.tryDump(workload, { libdir, env: noPageFiles });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden: true });
  cpSync(machine.imagesDir, copy, { recursive: true });
});
afterEach(() => machine.close());

const restore = (imagesDir: string, options: CriuOptions = {}): Promise<CriuRun> =>
  machine.tryRestore({ libdir, imagesDir, ...options });

async function expectRestored(run: CriuRun): Promise<void> {
  expect(run.exitCode, errorsIn(run.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  await machine.kill(workload.pid);
}

async function expectRefused(run: CriuRun, reason: RegExp): Promise<void> {
  expect(run.exitCode).not.toBe(0);
  expect(errorsIn(run.log)).toMatch(reason);
  await expect.poll(() => readStat(workload.pid)?.state ?? 'gone').toMatch(/^(Z|gone)$/);
  await machine.kill(workload.pid);
}

function changeStripe(change: (bytes: Buffer) => void): void {
  const path = join(copy, machine.stripes(copy)[0] ?? '');
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

it('gets the memory of the golden image, as often as wanted, also without the original', async () => {
  await expectRestored(await restore(copy));
  rmSync(machine.imagesDir, { recursive: true });
  const again = await restore(copy);
  expect(again.log).toContain('0 resident images reused, 1 golden copied, 0 loading');
  await expectRestored(again);
  const { counters, images } = await machine.poolStatus();
  expect(counters).toMatchObject({ loads: 0, restores: 2, failures: 0 });
  expect(images).toMatchObject([{ dir: machine.imagesDir, isGolden: true }]);
});

it('takes the memory of a prefetched image', async () => {
  const other = join(machine.dir, 'other');
  cpSync(copy, other, { recursive: true });
  await prefetchImages(other, { runDir: machine.runDir });
  // the newest comes first, and is not golden
  const first = await restore(copy);
  expect(first.log).toContain('1 resident images reused, 0 golden copied, 0 loading');
  await expectRestored(first);
  const second = await restore(copy);
  expect(second.log).toContain('0 resident images reused, 1 golden copied, 0 loading');
  await expectRestored(second);
});

describe('a copy that was changed', () => {
  it('by one byte is noticed and refused; the golden image stays', async () => {
    changeStripe((bytes) => (bytes[SOMEWHERE] = (bytes[SOMEWHERE] ?? 0) ^ 1));
    const refused = await restore(copy);
    expect(refused.log).toContain('0 golden copied, 1 loading (1 of them changed');
    await expectRefused(refused, /cuda-\d+-0\.img: chunk \d+ at offset .*: the file is damaged/);
    await expectRestored(await restore(machine.imagesDir));
  });

  it('has its own bytes where no checksums are compared', async () => {
    changeStripe((bytes) => (bytes[SOMEWHERE] = (bytes[SOMEWHERE] ?? 0) ^ 1));
    const run = await restore(copy, { env: { CRIU_CUDA_VERIFY: '0' } });
    expect(run.exitCode, errorsIn(run.log)).toBe(0);
    expect(run.log).toContain('0 golden copied, 1 loading');
    await expect(workload.verify()).rejects.toThrow();
  });

  it('in its manifest is another image', async () => {
    for (const name of machine.manifests(copy))
      changeManifest(join(copy, name), ManifestSchema, (message) => (message.created += 1n));
    const run = await restore(copy);
    expect(run.log).toContain('0 golden copied, 1 loading (0 of them changed');
    await expectRestored(run);
  });
});

describe('another tenant gets nothing of the image', () => {
  it('who knows its ids', async () => {
    const manifest = machine.manifests()[0] ?? '';
    const ids: Uint8Array[] = [];
    changeManifest(join(copy, manifest), ManifestSchema, ({ id, checkpoint }) => ids.push(id, checkpoint));
    const [id = new Uint8Array(), checkpoint = new Uint8Array()] = ids;
    const theirs = await machine.startIntercepted({}, ['--alloc', '8Mx2', '--alloc', '2M']);
    const wanted = await snapshot(theirs);
    const imagesDir = join(machine.dir, 'theirs');
    cpSync(copy, imagesDir, { recursive: true });
    for (const name of readdirSync(imagesDir)) rmSync(join(imagesDir, name));
    expect((await machine.tryDump(theirs, { libdir, imagesDir, env: noPageFiles })).exitCode).toBe(0);
    for (const name of machine.manifests(imagesDir)) {
      changeManifest(join(imagesDir, name), ManifestSchema, (message) => {
        Object.assign(message, { id, checkpoint });
      });
    }
    changeManifest(join(imagesDir, 'cuda.img'), IndexSchema, (message) => (message.id = checkpoint));
    const run = await restore(imagesDir);
    expect(run.exitCode, errorsIn(run.log)).toBe(0);
    expect(run.log).toContain('0 golden copied, 1 loading');
    expect(await snapshot(theirs)).toBe(wanted);
    await machine.kill(theirs.pid);
  });

  it('who has even its manifest, but not its bytes', async () => {
    changeStripe((bytes) => bytes.fill(0));
    const refused = await restore(copy);
    expect(refused.log).toContain('0 golden copied, 1 loading (1 of them changed');
    await expectRefused(refused, /the file is damaged/);
  });
});
