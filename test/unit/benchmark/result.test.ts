// SPDX-License-Identifier: MIT
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
  lstatSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal, readResult, writeResult } from '../../../lib/benchmark/index.ts';
import { environment, result, resultCase, sample } from '../../helpers/results.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-result-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('a result as a file', () => {
  it('is read back unchanged, and its CSV has one row per sample', () => {
    const written = result(
      { 'a, quoted': [10, 20] },
      { cases: [resultCase('a, quoted', { variant: 'parallel', streams: 8, chunkMb: 4, pool: 1 })] },
    );
    const [json = '', csv = ''] = writeResult(join(dir, 'one.json'), written);
    expect(readResult(json)).toEqual(written);
    expect(readFileSync(csv, 'utf8').split('\n')).toEqual([
      'case,variant,streams,chunk_mb,pool,prefetch,store,round,cold_ms,cold_start_ms,cold_load_ms,cold_first_token_ms,tokens_per_second,dump_typed_ms,dump_ms,restore_ms,typed_ms,verified_ms,image_bytes,device_bytes',
      '"a, quoted",parallel,8,4,1,,/store,0,1000,,,,,,20,9,,10,1048576,',
      '"a, quoted",parallel,8,4,1,,/store,1,1000,,,,,,40,18,,20,1048576,',
      '',
    ]);
  });

  it('is refused, naming the wrong field', () => {
    const path = join(dir, 'bad.json');
    const good = result({ a: [10] });
    const write = (value: unknown): void => {
      writeFileSync(path, JSON.stringify(value));
    };
    write({ ...good, schemaVersion: 2 });
    expect(() => readResult(path)).toThrow(/bad\.json .*schemaVersion/);
    write({ ...good, samples: [{ ...good.samples[0], dumpMs: 'fast' }] });
    expect(() => readResult(path)).toThrow('samples[0].dumpMs');
    write({ ...good, samples: [{ ...good.samples[0], case: 'b' }] });
    expect(() => readResult(path)).toThrow('a sample belongs to case "b"');
    writeFileSync(path, '{');
    expect(() => readResult(path)).toThrow(`cannot read ${path}`);
  });
});

describe('Journal', () => {
  const plan = { cases: ['a'], rounds: 3 };
  const later = environment({ date: '2026-02-02T00:00:00.000Z' });

  it('continues after an interruption, without the line that was being written', () => {
    const out = join(dir, 'r.json');
    const first = Journal.open(out, plan, environment(), false);
    first.add(sample('a', 0, 10));
    first.add(sample('a', 1, 20));
    appendFileSync(first.path, '{"case":"a","rou');
    const second = Journal.open(out, plan, later, false);
    expect(second.samples).toEqual([sample('a', 0, 10), sample('a', 1, 20)]);
    expect([0, 1, 2].map((round) => second.has('a', round))).toEqual([true, true, false]);
    expect(second.environment.date).toBe(environment().date);
    second.add(sample('a', 2, 30));
    expect(Journal.open(out, plan, later, false).samples).toHaveLength(3);
    second.remove();
    expect(existsSync(second.path)).toBe(false);
  });

  it('names the file that a full disk has no room for, and leaves none', () => {
    const out = join(dir, 'r.json');
    symlinkSync('/dev/full', `${out}.partial`);
    expect(() => Journal.open(out, plan, environment(), true)).toThrow(
      `cannot write ${out}.partial: no space left on device`,
    );
    expect(lstatSync(`${out}.partial`, { throwIfNoEntry: false })).toBeUndefined();
  });

  it('does not mix plans or machines', () => {
    const out = join(dir, 'r.json');
    Journal.open(out, plan, environment(), false).add(sample('a', 0, 10));
    expect(() => Journal.open(out, { ...plan, rounds: 4 }, later, false)).toThrow('other options');
    expect(() => Journal.open(out, plan, { ...later, driver: '999' }, false)).toThrow('another machine');
    expect(Journal.open(out, { ...plan, rounds: 4 }, later, true).samples).toEqual([]);
  });

  it('says so when the journal is damaged', () => {
    const out = join(dir, 'r.json');
    const { path } = Journal.open(out, plan, environment(), false);
    appendFileSync(path, '{"case":1}\n');
    expect(() => Journal.open(out, plan, later, false)).toThrow(
      `cannot continue from ${path}: it is not a journal`,
    );
  });
});
