// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { predict, type BenchmarkResult, type Limits } from '../../../lib/benchmark/index.ts';
import { heatMaps, phaseMedians } from '../../../lib/report/figures.ts';
import { resultCharts } from '../../../lib/report/charts.ts';
import {
  deviceBytes,
  loadReport,
  reportHtml,
  reportMarkdown,
  reportText,
} from '../../../lib/report/index.ts';
import { environment, result, resultCase, sample } from '../../helpers/results.ts';

const limits: Limits = {
  schemaVersion: 1,
  date: '2026-01-01T00:00:00.000Z',
  device: 'Test GPU',
  software: false,
  limits: { pcie: 50, pageable: 8, load: 40, store: 30, read: 20, pageFaults: 2 },
};

let dir: string;
const put = (name: string, value: unknown): string => {
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
};
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-report-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const onSoftware = (one: BenchmarkResult): BenchmarkResult => ({
  ...one,
  environment: environment({ software: true }),
});

describe('times that were typed', () => {
  const typed = (): BenchmarkResult => {
    const samples = [10, 20, 30].map((ms, round) => ({
      ...sample('stock', round, ms),
      typedMs: ms + 100,
      dumpTypedMs: 2 * ms + 200,
    }));
    return result({ stock: [] }, { samples });
  };

  it('are columns beside the times of the library, in text and Markdown', () => {
    put('typed.json', typed());
    const report = loadReport(dir);
    const [head = '', row = ''] = reportText(report).split('\n').slice(3);
    expect(head.split(/ {2,}/)).toEqual(
      expect.arrayContaining(['dump typed, s', 'dump, s', 'typed, s', 'library, s']),
    );
    const cell = (name: string): string =>
      row
        .slice(head.search(new RegExp(`(?<! )(?:^| {2})${name}`)))
        .trim()
        .split(/ {2,}/)[0] ?? '';
    expect(['dump typed, s', 'typed, s', 'library, s'].map(cell)).toEqual(['0.240', '0.120', '0.020']);
    expect(reportText(report)).toContain(
      'typed: from before the start of criu-cuda; library: from its call; both until every',
    );
    expect(reportMarkdown(report, 'r').text).toContain('| 0.120 | 0.020 |');
  });

  it('are bars beside those of the library', () => {
    put('typed.json', typed());
    const report = loadReport(dir);
    const chart = report.results.flatMap(resultCharts).find(({ id }) => id === 'typed-typed');
    expect(chart?.option).toMatchObject({
      yAxis: { data: ['stock'] },
      series: [
        { name: 'typed', type: 'bar', data: [0.12] },
        { name: 'library', type: 'bar', data: [0.02] },
      ],
    });
    const { text, pictures } = reportMarkdown(report, 'r');
    expect(text).toContain('(r-typed-typed.svg)');
    expect(pictures.get('r-typed-typed.svg')).toContain('library');
    const page = reportHtml(report);
    expect(page).toContain('aria-label="stock: 0.120 s"');
    expect(page).toContain('aria-label="stock, library: 0.020 s"');
  });

  it('are left out for results of earlier versions', () => {
    put('old.json', result({ stock: [10] }));
    const report = loadReport(dir);
    expect(reportText(report)).not.toContain('typed');
    expect(report.results.flatMap(resultCharts).map(({ id }) => id)).not.toContain('old-typed');
  });
});

describe('loadReport', () => {
  it('reads all results of a directory, and says what it left out', () => {
    put('b.json', result({ stock: [10] }));
    put('a.json', result({ stock: [20] }));
    const other = put('package.json', { name: 'x' });
    const report = loadReport(dir);
    expect(report.results.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(report.ignored).toEqual([other]);
    expect(report.software).toBe(false);
  });

  it('refuses to mix software and hardware results: in one directory, as a comparison, and as limits', () => {
    const hardware = put('gpu.json', result({ stock: [10] }));
    const software = put('soft.json', onSoftware(result({ stock: [10] })));
    expect(() => loadReport(dir)).toThrow(`${software} was measured on the software driver`);
    expect(() => loadReport(hardware, { against: software })).toThrow('they cannot be compared');
    rmSync(hardware);
    put('limits.json', limits);
    expect(() => loadReport(dir)).toThrow('they cannot be compared');
  });

  it('names what is missing or damaged', () => {
    expect(() => loadReport(dir)).toThrow(`${dir} contains no benchmark result`);
    expect(() => loadReport(join(dir, 'none'))).toThrow('does not exist');
    put('limits.json', { ...limits, limits: { pcie: 0 } });
    expect(() => loadReport(dir)).toThrow('limits.pcie');
  });

  it('compares with an earlier result of the same workload, and says what else changed', () => {
    const now = put('now.json', result({ stock: [10, 11, 12], parallel: [1, 1, 1] }));
    const before = put(
      'before.json',
      result({ stock: [20, 22, 24] }, { environment: environment({ driver: '570.1' }) }),
    );
    const report = loadReport(now, { against: before });
    expect(report.comparisons[0]?.differences).toEqual(['driver: 570.1 → 580.1']);
    expect(reportText(report)).toMatch(/stock +0\.022 +0\.011 +2\.00× +faster \(/);
    const other = put('other.json', result({ stock: [1] }, { workload: ['--alloc', '1G'] }));
    expect(() => loadReport(now, { against: other })).toThrow('no earlier result has the workload');
  });
});

describe('the cases of a report', () => {
  it('are the requested ones, in that order, and the first one is the baseline', () => {
    put('a.json', result({ stock: [100], parallel: [10], full: [4] }));
    put('b.json', result({ remap: [50] }));
    const report = loadReport(dir, { cases: ['parallel', 'full'] });
    expect(report.results.map(({ name }) => name)).toEqual(['a']);
    const summaries = report.results[0]?.result.summaries;
    expect(summaries?.map((one) => [one.case, one.ratio?.verifiedMs])).toEqual([
      ['parallel', 1],
      ['full', 0.4],
    ]);
    expect(reportText(report)).not.toContain('stock');
  });

  it('are refused if no result has them', () => {
    put('a.json', result({ stock: [100] }));
    expect(() => loadReport(dir, { cases: ['stock', 'fast'] })).toThrow('no result has a case "fast"');
  });

  it('say a speedup with three digits', () => {
    put('a.json', result({ upstream: [1000], full: [43] }));
    expect(reportText(loadReport(dir))).toMatch(/full .* 23\.3×/);
  });
});

describe('the numbers', () => {
  it('add up: the phases of a restore are its time until verified', () => {
    const phases = phaseMedians(result({ stock: [90, 100, 110] }), 'stock', 'restore');
    expect(phases.map(({ name }) => name)).toEqual([
      'driver: restore',
      'criu: rest',
      'application: until verified',
    ]);
    expect(phases.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(100);
  });

  it('are a map of streams against chunks, with a gap where nothing was measured', () => {
    const cell = (streams: number, chunkMb: number) => ({
      ...resultCase(`s${streams} c${chunkMb}`, { variant: 'parallel', streams, chunkMb, store: '/a' }),
    });
    const cases = [cell(8, 32), cell(1, 4), cell(8, 4)];
    const samples = cases.map(({ name }, index) => sample(name, 0, 10 * (index + 1)));
    expect(heatMaps(result({}, { cases, samples }))).toEqual([
      {
        title: 'parallel',
        streams: [1, 8],
        chunksMb: [4, 32],
        cells: [
          [20, undefined],
          [30, 10],
        ],
      },
    ]);
  });

  it('include the device memory of a workload', () => {
    const workload = (...words: string[]) => result({ stock: [1] }, { workload: words });
    expect(deviceBytes(workload('--alloc', '512Mx32', '--alloc', '1G'))).toBe(17 * 2 ** 30);
    expect(deviceBytes(workload('--other'))).toBeUndefined();
  });

  it('include the device memory of another program, from its images', () => {
    const samples = [sample('stock', 0, 10), { ...sample('full', 0, 5), deviceBytes: 2 ** 31 }];
    expect(deviceBytes(result({}, { workload: ['server'], samples }))).toBe(2 ** 31);
  });

  it('include predictions from rates', () => {
    expect(predict(limits, 100e9)).toEqual({
      pcieMs: 2000,
      readMs: 5000,
      loadMs: 2500,
      pageableMs: 62_500,
    });
    put('one.json', result({ stock: [100] }));
    put('limits.json', limits);
    // 2 GiB at 50 GB/s
    expect(reportText(loadReport(dir))).toMatch(/2 GiB +stock +0\.043 +0\.107 +0\.054 +0\.100 +43 %/);
  });
});

describe('reportMarkdown', () => {
  it('has an SVG for every chart, with the names of its cases', () => {
    put('one.json', onSoftware(result({ stock: [10, 11], 'par|allel': [5, 6] })));
    const { text, pictures } = reportMarkdown(loadReport(dir), 'r');
    expect(text).toContain('> **SOFTWARE DRIVER: these times mean nothing**');
    expect(text).toContain(String.raw`| par\|allel |`);
    const shown = [...text.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map((match) => match[1]);
    expect(shown).toEqual([...pictures.keys()]);
    expect(shown).toEqual(['restore-phases', 'dump-phases', 'distribution'].map((one) => `r-one-${one}.svg`));
    const phases = pictures.get('r-one-restore-phases.svg') ?? '';
    expect(phases).toMatch(/^<svg /);
    for (const word of ['stock', 'par|allel', 'driver: restore']) expect(phases).toContain(word);
  });
});
