// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { parseMemory, readMemorySummary } from '../../../lib/process/index.ts';

const MIB = 2 ** 20;

describe('readMemorySummary', () => {
  it('counts memory that was written to', async () => {
    const before = await readMemorySummary(process.pid);
    const block = Buffer.alloc(64 * MIB, 7);
    const after = await readMemorySummary(process.pid);
    if (!before || !after) throw new Error('this process exists');
    expect(after.anonymousBytes - before.anonymousBytes).toBeGreaterThan(48 * MIB);
    expect(after.residentBytes).toBeGreaterThanOrEqual(after.anonymousBytes);
    expect(block[block.length - 1]).toBe(7);
  });

  it('is undefined for a process that does not exist', async () => {
    expect(await readMemorySummary(2 ** 22 + 1)).toBeUndefined();
  });

  it('names a missing field', () => {
    expect(() => parseMemory('Rss:     1234 kB\n')).toThrow('smaps_rollup has no Pss');
  });
});
