// SPDX-License-Identifier: MIT
/** Where results are written when no file is named, and the criu programs of a benchmark. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withEachCriu } from '../../../lib/commands/bench/options.ts';
import { resultFile } from '../../../lib/commands/bench/results-dir.ts';

const now = new Date('2026-11-28T23:45:10Z');
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'criu-cuda-results-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

describe('a result without --output', () => {
  it('is written to a new directory with the date', () => {
    expect(resultFile('run', root, now)).toBe(join(root, '2026-11-28-234510', 'run.json'));
    mkdirSync(join(root, '2026-11-28-234510'));
    expect(resultFile('run', root, now)).toBe(join(root, '2026-11-28-234510-2', 'run.json'));
  });
});

describe('--criu', () => {
  it('makes a case of every program, but a cold start and a case that names one have none', () => {
    expect(withEachCriu(['cold-start', 'stock', 'full@/b'], ['default', '/a'])).toEqual([
      'cold-start',
      'stock',
      'stock@/a',
      'full@/b',
    ]);
  });
});
