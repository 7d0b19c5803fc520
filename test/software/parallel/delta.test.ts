// SPDX-License-Identifier: MIT
// A dump against an earlier checkpoint writes what has changed, shares the rest with it, and needs nothing of it later.
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint, type CheckpointOptions, type CheckpointResult } from '../../../lib/checkpoint/index.ts';
import { readGpuImages, verifyGpuImages } from '../../../lib/images/index.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { restore, type RestoredProcess } from '../../../lib/restore/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';

const MIB = 2 ** 20;
const ARGS = ['--alloc', '8Mx3'];
const BYTES = 24 * MIB;
const settings = { CRIU_CUDA_CHUNK_MB: '1', CRIU_CUDA_STREAMS: '2' };

let machine: ParallelMachine;
let workload: Workload;
let before: string;
const restored: RestoredProcess[] = [];
const elsewhere: string[] = [];
beforeEach(async () => {
  machine = new ParallelMachine();
  workload = await machine.startIntercepted({}, ARGS);
  before = await snapshot(workload);
});
afterEach(async () => {
  for (const one of restored.splice(0)) await one.kill(0);
  await machine.close();
  for (const one of elsewhere.splice(0)) rmSync(one, { recursive: true });
});

const directory = (name: string): string => join(machine.dir, name);

const dump = (
  imagesDir: string,
  prevImagesDir: string | undefined,
  more: Partial<CheckpointOptions> = {},
): Promise<CheckpointResult> =>
  checkpoint({
    ...{ pid: workload.pid, imagesDir, prevImagesDir, criu: criuProgram(), leaveRunning: true },
    ...more,
    env: { ...machine.env, ...settings, ...more.env },
  });

/** Flips a bit in one chunk of an allocation; twice is as before. */
const poke = async (allocation: number, chunk: number): Promise<void> => {
  await workload.ask(`poke ${allocation} ${chunk * MIB}`);
};

/** Bytes of stripes that only this checkpoint has, and of those that others have, too. */
function stripeBytes(imagesDir: string): { own: number; shared: number } {
  const found = machine.stripes(imagesDir).map((name) => statSync(join(imagesDir, name)));
  const sum = (some: typeof found): number => some.reduce((total, { size }) => total + size, 0);
  return {
    own: sum(found.filter(({ nlink }) => nlink === 1)),
    shared: sum(found.filter(({ nlink }) => nlink > 1)),
  };
}

const restoreFrom = async (imagesDir: string): Promise<void> => {
  restored.push(await restore({ imagesDir, criu: criuProgram(), env: machine.env }));
};

async function expectWhole(imagesDir: string): Promise<void> {
  for (const image of await verifyGpuImages(imagesDir)) expect(image).toMatchObject({ ok: true });
}

it.each(['helper', 'daemon'] as const)('the %s writes what has changed', async (by) => {
  if (by === 'daemon') await machine.startPool(settings);
  await dump(directory('a'), undefined);
  await poke(0, 3);
  const { memory, warnings } = await dump(directory('b'), directory('a'), { leaveRunning: false });
  expect(memory).toMatchObject([
    { pool: { by, bytes: BYTES, reusedBytes: BYTES - MIB, reuseError: undefined } },
  ]);
  expect(warnings.filter((one) => one.includes('earlier'))).toEqual([]);
  expect(stripeBytes(directory('b'))).toEqual({ own: MIB, shared: BYTES });
  rmSync(directory('a'), { recursive: true });
  expect(stripeBytes(directory('b'))).toEqual({ own: BYTES + MIB, shared: 0 });
  await expectWhole(directory('b'));
  await restoreFrom(directory('b'));
  await expect(workload.verify()).rejects.toThrow('verify'); // the bit, which the earlier checkpoint does not have
  await poke(0, 3);
  expect(await snapshot(workload)).toBe(before);
});

it('a chain of checkpoints, each against the one before, of a process that was restored in between', async () => {
  await dump(directory('0'), undefined, { leaveRunning: false });
  await restoreFrom(directory('0'));
  for (const round of [1, 2, 3]) {
    await poke(1, round);
    const { memory } = await dump(directory(String(round)), directory(String(round - 1)), {
      leaveRunning: round < 3,
    });
    expect(memory).toMatchObject([{ pool: { reusedBytes: BYTES - MIB } }]);
    rmSync(directory(String(round - 1)), { recursive: true });
    await expectWhole(directory(String(round)));
  }
  const [image] = await readGpuImages(directory('3'));
  expect(stripeBytes(directory('3'))).toEqual({ own: BYTES + 3 * MIB, shared: 0 });
  expect(image?.manifest.chunks.reduce((sum, { length }) => sum + length, 0)).toBe(BYTES);
  await restoreFrom(directory('3'));
  for (const round of [1, 2, 3]) await poke(1, round);
  expect(await snapshot(workload)).toBe(before);
});

it('an earlier stripe that is damaged costs its chunk, and the new checkpoint has the memory', async () => {
  await dump(directory('a'), undefined);
  const [image] = await readGpuImages(directory('a'));
  const [chunk] = image?.manifest.chunks ?? [];
  const file = openSync(join(directory('a'), image?.stripes[chunk?.stripe ?? 0]?.name ?? ''), 'r+');
  writeSync(file, 'damaged', (chunk?.offset ?? 0) + 4096);
  closeSync(file);
  const { memory, warnings } = await dump(directory('b'), directory('a'), { leaveRunning: false });
  expect(memory).toMatchObject([{ pool: { reusedBytes: BYTES - MIB } }]);
  expect(warnings).toContainEqual(
    expect.stringMatching(
      /^a part of the earlier checkpoint of \d+ is not used: .*damaged at \d+: .*checksum$/,
    ),
  );
  await expectWhole(directory('b'));
  await restoreFrom(directory('b'));
  expect(await snapshot(workload)).toBe(before);
});

it.each([
  ['on another file system', /cannot link cuda-\d+-0\.img: it is on another file system or mount$/],
  ['without a stripe', /cuda-\d+-0\.img: missing/],
  ['with a damaged manifest', /cuda-\d+\.img: crc /],
  ['of another process', /cuda-\d+\.img: No such file or directory$/],
  ['that is not there', /nothing of the earlier checkpoint .* is used: .*does not exist$/],
])('with an earlier checkpoint %s all is written, and a warning says it', async (what, warning) => {
  let earlier = directory('a');
  if (what.startsWith('on another')) {
    earlier = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
    elsewhere.push(earlier);
    expect(statSync(earlier).dev).not.toBe(statSync(machine.dir).dev);
  }
  if (what.startsWith('of')) mkdirSync(earlier);
  else if (!what.startsWith('that')) await dump(earlier, undefined);
  const [manifest = ''] = what.startsWith('with') ? machine.manifests(earlier) : [];
  if (what === 'without a stripe') rmSync(join(earlier, manifest.replace('.img', '-0.img')));
  if (what === 'with a damaged manifest') {
    const file = openSync(join(earlier, manifest), 'r+');
    writeSync(file, 'damaged', 100);
    closeSync(file);
  }
  const { memory, warnings } = await dump(directory('b'), earlier, { leaveRunning: false });
  expect(memory).toMatchObject([{ pool: { bytes: BYTES } }]);
  expect(memory[0]?.pool?.reusedBytes ?? 0).toBe(0);
  expect(warnings).toContainEqual(expect.stringMatching(warning));
  expect(stripeBytes(directory('b'))).toEqual({ own: BYTES, shared: 0 });
  await restoreFrom(directory('b'));
  expect(await snapshot(workload)).toBe(before);
});

it.each(['cuMemcpyDtoHAsync:3:kill', 'cuMemcpyDtoHAsync:3:700'])(
  'a dump that ends in the middle (%s) leaves the earlier checkpoint, and nothing else',
  async (fail) => {
    await dump(directory('a'), undefined);
    const names = readdirSync(directory('a'));
    await expect(dump(directory('b'), directory('a'), { env: { SOFTCUDA_FAIL: fail } })).rejects.toThrow();
    expect(isAlive(workload.pid)).toBe(true);
    expect(await snapshot(workload)).toBe(before);
    expect(machine.ownFiles(directory('b'))).toEqual([]);
    expect(readdirSync(directory('a'))).toEqual(names);
    expect(stripeBytes(directory('a'))).toEqual({ own: BYTES, shared: 0 });
    await expectWhole(directory('a'));
  },
);

it('the images directory itself is refused', async () => {
  await dump(directory('a'), undefined);
  await expect(dump(directory('a'), directory('a'), { force: true })).rejects.toMatchObject({
    code: 'ERR_USAGE',
  });
  await expectWhole(directory('a'));
});

it('criu itself, with the setting', async () => {
  const args = ['--leave-running'];
  const first = await machine.tryDump(workload, { env: settings, args });
  expect(first.exitCode, errorsIn(first.log)).toBe(0);
  const imagesDir = directory('b');
  mkdirSync(imagesDir);
  const env = { ...settings, CRIU_CUDA_PREV_IMAGES_DIR: machine.imagesDir };
  const second = await machine.tryDump(workload, { env, imagesDir });
  expect(second.exitCode, errorsIn(second.log)).toBe(0);
  expect(second.status).toContainEqual(expect.objectContaining({ event: 'evict', reused_bytes: BYTES }));
  rmSync(machine.imagesDir, { recursive: true });
  mkdirSync(machine.imagesDir);
  const result = await machine.tryRestore({ imagesDir });
  expect(result.exitCode, errorsIn(result.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});
