// SPDX-License-Identifier: MIT
/** What a report says at first sight, and the axes of its bars. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readResult } from '../../../lib/benchmark/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { sorted } from '../../../lib/report/page/columns.ts';
import { brokenScale, scaleTo, ticksOf } from '../../../lib/report/scale.ts';
import { caseLabels, commandOf, leadOf, settingsKey, storyOf } from '../../../lib/report/story.ts';
import { environment, result, resultCase } from '../../helpers/results.ts';

const h200 = readResult(join(projectRoot, 'benchmarks/results/server-matrix/h200.json'));

describe('the sentence of a report', () => {
  it('says what was gained against the reference, on what, when, and how sure it is', () => {
    const lead = leadOf(h200);
    expect(lead.sentence).toBe('First token after 0.420 s instead of 5.459 s: 13.0×');
    expect(lead.where).toBe('NVIDIA H200, qwen2-1.5b, 21 November 2026');
    expect(lead.compared).toBe(
      "full, 8 threads, 8 MiB, pool, against upstream (CRIU's own CUDA plugin with NVIDIA's cuda-checkpoint)",
    );
    expect(lead.trust).toMatch(
      /^Medians of 5 runs; 80 % of them within 0\.412 to 0\.470 s; with 95 % confid/,
    );
  });

  it('compares with the first case where upstream was not measured, and claims nothing for one case', () => {
    expect(leadOf(result({ stock: [1000], full: [100] })).sentence).toBe(
      'Restored, and every byte verified, after 0.100 s instead of 1.000 s: 10.0×',
    );
    expect(leadOf(result({ stock: [1000] })).sentence).toBe(
      'Restored, and every byte verified, after 1.000 s',
    );
  });

  it('never calls the software driver a GPU', () => {
    const soft = result({ stock: [1], full: [1] }, { environment: environment({ software: true }) });
    expect(leadOf(soft).where).toMatch(/^software driver, 4 × 512 MiB, /);
  });
});

describe('the cases of a report', () => {
  it('begin with the quickest five, the reference and the cold start, quickest first', () => {
    const { few, all, best } = storyOf(h200);
    expect(all).toHaveLength(42);
    expect(best?.case).toBe('full s8 c8 p1');
    expect(few.map((one) => one.case)).toEqual([
      'full s8 c8 p1',
      'full s16 c2 p1',
      'full s8 c2 p1',
      'full s8 c32 p1',
      'full s16 c32 p1',
      'upstream',
      'cold-start',
    ]);
  });

  it('have words instead of abbreviations, and a key with those that occur', () => {
    const label = caseLabels(h200);
    expect(label('full s1 c256 p0')).toBe('full, 1 thread, 256 MiB, no pool');
    expect(label('cold-start')).toBe('cold start');
    const words = settingsKey(h200).map(([word]) => word);
    expect(words).toEqual(['cold start', 'upstream', 'full', 'threads', 'MiB', 'pool, no pool']);
  });

  it('name the store only where there is more than one', () => {
    const at = (store: string) =>
      resultCase(`parallel s1 c4 ${store}`, { variant: 'parallel', streams: 1, chunkMb: 4, store });
    const label = caseLabels({ cases: [at('/a'), at('/b')] });
    expect(label('parallel s1 c4 /b')).toBe('parallel, 1 thread, 4 MiB, /b');
  });
});

describe('the command of a result', () => {
  it('is what was typed, quoted for a shell', () => {
    const command = ['criu-cuda', 'bench', 'run', '--', 'sh', '-c', "it's"];
    expect(commandOf(result({ stock: [1] }, { command }))).toEqual({
      command: String.raw`criu-cuda bench run -- sh -c 'it'\''s'`,
      recorded: true,
    });
  });

  it('is made from the cases for results of earlier versions', () => {
    const { command, recorded } = commandOf(h200);
    expect(recorded).toBe(false);
    expect(command).toContain('bench matrix --variants cold-start,upstream,full --streams 1,2,4,8,16');
    expect(command).toMatch(/--rounds 5 .*-- python3 benchmarks\/workloads\/inference_server\.py/);
    const { command: run } = commandOf(result({ stock: [1, 2] }));
    expect(run).toContain('bench run --cases stock --store /store --rounds 2 --output FILE --alloc 512Mx4');
  });
});

describe('an axis', () => {
  it('gives the width to what is compared: what is much longer is broken off', () => {
    expect(brokenScale([420, 480, 5459, 9617])).toEqual({ max: 500, step: 100 });
    expect(brokenScale([420, 2000])).toEqual({ max: 2500, step: 500 });
  });

  it('has round steps, and a place for the longest', () => {
    expect(ticksOf(scaleTo(5459))).toEqual([0, 2000, 4000, 6000]);
    expect(scaleTo(0).max).toBeGreaterThan(0);
  });
});

describe('a table', () => {
  it('sorts cells by their numbers', () => {
    expect(['0.420', '13.0× (11.0–13.4×)', '0.412–0.470', '8.85 GiB', '43 %', ''].map(sorted)).toEqual([
      '0.42',
      '13',
      '0.412',
      String(8.85 * 2 ** 30),
      '43',
      '',
    ]);
  });
});
