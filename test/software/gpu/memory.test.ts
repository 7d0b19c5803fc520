// SPDX-License-Identifier: MIT
/** Both readers of the memory of a process, against memory that was mapped for it. */
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../lib/errors.ts';
import type { BackendName } from '../../../lib/gpu/index.ts';
import { backendNames } from '../../../lib/native/types.ts';
import {
  readMemoryMap,
  readMemoryPages,
  readStat,
  type MemoryMap,
  type MemoryMapping,
} from '../../../lib/process/index.ts';
import { startPlainProcess } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const MIB = 2 ** 20;
const SIZE = 16 * MIB;
const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const MADV_NOHUGEPAGE = 15;
const NO_SUCH_PID = 2 ** 22 + 1;

const libc = koffi.load('libc.so.6');
const mmap = libc.func(
  'uintptr_t mmap(uintptr_t at, size_t length, int prot, int flags, int fd, long offset)',
);
const mprotect = libc.func('int mprotect(uintptr_t at, size_t length, int prot)');
const madvise = libc.func('int madvise(uintptr_t at, size_t length, int advice)');
const memset = libc.func('uintptr_t memset(uintptr_t at, int byte, size_t length)');
const munmap = libc.func('int munmap(uintptr_t at, size_t length)');

/** Memory of our own with a gap on either side, so that the kernel joins it with nothing; half of it is written to. */
class Block {
  readonly start: bigint;
  readonly #around: bigint;

  constructor(sharing: number) {
    this.#around = BigInt(
      mmap(0, SIZE + 2 * MIB, PROT_NONE, sharing | MAP_ANONYMOUS, -1, 0) as number | bigint,
    );
    this.start = this.#around + BigInt(MIB);
    expect(mprotect(this.start, SIZE, PROT_READ_WRITE)).toBe(0);
    expect(madvise(this.start, SIZE, MADV_NOHUGEPAGE)).toBe(0);
    memset(this.start, 7, SIZE / 2);
  }

  async mapping(backend: BackendName): Promise<MemoryMapping | undefined> {
    const map = await readMemoryMap(process.pid, { backend, largest: 65_536 });
    return map?.largest.find(({ start }) => start === this.start);
  }

  free(): void {
    munmap(this.#around, SIZE + 2 * MIB);
  }
}

let privateBlock: Block;
let sharedBlock: Block;

describe.each(backendNames)('through the %s', (backend) => {
  beforeAll(() => {
    privateBlock = new Block(MAP_PRIVATE);
    sharedBlock = new Block(MAP_SHARED);
  });
  afterAll(() => {
    privateBlock.free();
    sharedBlock.free();
  });

  describe('readMemoryMap', () => {
    it('finds private and shared memory at its address, with what of it is resident', async () => {
      const common = { residentBytes: SIZE / 2, hugePageBytes: 0, swappedBytes: 0 };
      const { start } = privateBlock;
      expect(await privateBlock.mapping(backend)).toEqual({
        ...common,
        start,
        end: start + BigInt(SIZE),
        permissions: 'rw-p',
        path: '',
        kind: 'privateAnonymous',
      });
      expect(await sharedBlock.mapping(backend)).toMatchObject({
        ...common,
        permissions: 'rw-s',
        path: '/dev/zero (deleted)',
        kind: 'sharedAnonymous',
      });
    });

    it('adds all mappings up, and keeps the largest in order', async () => {
      const all = await readMemoryMap(process.pid, { backend, largest: 65_536 });
      const few = await readMemoryMap(process.pid, { backend, largest: 3 });
      if (!all || !few) throw new Error('this process is there');
      const total = (field: 'residentBytes' | 'swappedBytes' | 'hugePageBytes'): number =>
        all.largest.reduce((sum, one) => sum + one[field], 0);
      expect(all.mappings).toBe(all.largest.length);
      expect(all.residentBytes).toBe(total('residentBytes'));
      expect(all.hugePageBytes).toBe(total('hugePageBytes'));
      expect(all.kinds.sharedAnonymous.residentBytes).toBeGreaterThanOrEqual(SIZE / 2);
      const node = all.largest.filter(({ path }) => path === process.execPath);
      expect(node.map(({ kind }) => kind)).toContain('file');
      expect(few.largest).toHaveLength(3);
      const sizes = few.largest.map(({ residentBytes }) => residentBytes);
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    });
  });

  describe('readMemoryPages', () => {
    it('agrees with the mappings of a process that waits', async () => {
      const plain = startPlainProcess();
      // it may still be starting, with its stack alone
      const pages = await waitFor(async () => {
        const map = await readMemoryMap(plain.pid, { backend });
        const found = await readMemoryPages(plain.pid, { backend });
        expect(found?.presentBytes).toBe(map?.residentBytes);
        expect(found?.fileOrSharedBytes).toBeGreaterThan(0);
        return found;
      });
      process.kill(plain.pid, 'SIGKILL');
      await plain.ended;
      expect(pages?.swappedBytes).toBe(0);
      expect(pages?.exclusiveBytes).toBeGreaterThan(0);
    });

    it('sees pages that are written to', async () => {
      const before = await readMemoryPages(process.pid, { backend });
      memset(privateBlock.start, 8, SIZE);
      const after = await readMemoryPages(process.pid, { backend });
      memset(privateBlock.start, 7, SIZE);
      if (!before || !after) throw new Error('this process is there');
      expect(after.exclusiveBytes - before.exclusiveBytes).toBeGreaterThan(SIZE / 4);
      expect(after.presentBytes - before.presentBytes).toBeGreaterThan(SIZE / 4);
    });
  });

  describe.each([
    ['readMemoryMap', readMemoryMap],
    ['readMemoryPages', readMemoryPages],
  ])('%s', (_, read) => {
    it('has nothing of a process that does not exist, and refuses what is not a pid', async () => {
      expect(await read(NO_SUCH_PID, { backend })).toBeUndefined();
      await expect(read(0, { backend })).rejects.toThrow(UsageError);
      await expect(readMemoryMap(process.pid, { backend, largest: -1 })).rejects.toThrow('largest -1');
    });

    it('is given up with the reason of the signal', async () => {
      const reason = new Error('not any more');
      await expect(read(process.pid, { backend, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      const controller = new AbortController();
      const reading = read(process.pid, { backend, signal: controller.signal });
      controller.abort(reason);
      await expect(reading).rejects.toBe(reason);
    });

    it('says what is needed for a process of somebody else', async (context) => {
      if (process.geteuid?.() !== 0) context.skip('changing the user needs root');
      process.seteuid?.(65534);
      const error: unknown = await read(1, { backend }).catch((reason: unknown) => reason);
      process.seteuid?.(0);
      expect(error).toMatchObject({
        code: 'ERR_SYSTEM_EACCES',
        hint: expect.stringContaining('root') as string,
      });
    });

    it('bears the end of the process in the middle', async () => {
      for (let round = 0; round < 20; round++) {
        const plain = startPlainProcess();
        const reading = read(plain.pid, { backend });
        process.kill(plain.pid, 'SIGKILL');
        await plain.ended;
        await expect(reading).resolves.not.toThrow();
      }
    });
  });
});

it('both read the same of a process that is stopped', async () => {
  const plain = startPlainProcess();
  process.kill(plain.pid, 'SIGSTOP');
  await waitUntil(() => readStat(plain.pid)?.state === 'T', { interval: 1 });
  const [addon, koffi] = await Promise.all(
    backendNames.map((backend) =>
      Promise.all([
        readMemoryMap(plain.pid, { backend, largest: 65_536 }),
        readMemoryPages(plain.pid, { backend }),
      ]),
    ),
  );
  process.kill(plain.pid, 'SIGKILL');
  await plain.ended;
  const byAddress = (map: MemoryMap | undefined) => ({
    ...map,
    largest: map?.largest.sort((a, b) => Number(a.start - b.start)),
  });
  expect(byAddress(koffi?.[0])).toEqual(byAddress(addon?.[0]));
  expect(koffi?.[1]).toEqual(addon?.[1]);
  expect(addon?.[0]?.mappings).toBeGreaterThan(0);
});
