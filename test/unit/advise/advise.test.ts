// SPDX-License-Identifier: MIT
/** Advice: estimates against what was measured, and what follows from what is there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adviceFrom } from '../../../lib/advise/advise.ts';
import { estimateRestore, type Way } from '../../../lib/advise/estimate.ts';
import { advise, type AdviceFacts } from '../../../lib/advise/index.ts';
import { h200Bytes, h200Rates } from '../../../lib/advise/rates.ts';
import { readResult } from '../../../lib/benchmark/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

const GIB = 2 ** 30;

function measured(file: string, name: string): number {
  const { summaries } = readResult(join(projectRoot, 'benchmarks/results', file));
  const one = summaries.find((summary) => summary.case === name);
  if (!one) throw new Error(`${file} has no case ${name}`);
  return one.verifiedMs.median;
}

describe('an estimate', () => {
  const cases: [string, string, Way, number][] = [
    ['h200-16g-thp-madvise.json', 'remap', 'remap', 16],
    ['h200-16g-thp-always.json', 'parallel', 'parallel', 16],
    ['h200-16g-thp-always.json', 'full', 'full', 16],
    ['h200-16g-thp-always.json', 'full-prefetched', 'full, prefetched', 16],
    ['h200-64g.json', 'parallel', 'parallel', 64],
    ['matrix/h200.json', 'stock', 'stock', 4],
    ['matrix/h200.json', 'parallel s8 c8', 'parallel', 4],
  ];
  for (const [file, name, way, gib] of cases)
    it(`is within 15 % of what was measured: ${name}, ${gib} GiB, ${file}`, () => {
      const estimated = estimateRestore(way, { deviceBytes: gib * GIB, hostBytes: 0 }, h200Rates);
      const ratio = estimated / measured(file, name);
      expect(ratio).toBeGreaterThan(0.85);
      expect(ratio).toBeLessThan(1.15);
    });
});

it('the table of the README has these estimates', () => {
  const text = readFileSync(join(projectRoot, 'README.md'), 'utf8');
  const ways: Way[] = ['stock', 'remap', 'parallel', 'full', 'full, prefetched'];
  const rows = [...text.matchAll(/^\| (\d+) GiB: .*$/gm)].map(([line]) =>
    line.split('|').map((one) => one.trim()),
  );
  expect(rows).toHaveLength(5);
  for (const [, memory = '', ...cells] of rows) {
    const [, share] = /(0\.\d\d)/.exec(memory) ?? [];
    const deviceBytes = share === undefined ? Number.parseInt(memory, 10) * GIB : Number(share) * h200Bytes;
    expect(Math.round(deviceBytes / GIB)).toBe(Number.parseInt(memory, 10));
    const times = ways.map((way) => estimateRestore(way, { deviceBytes, hostBytes: GIB }, h200Rates));
    const fits = 2 * deviceBytes <= h200Bytes * 1.0001;
    expect(cells.slice(0, 5)).toEqual(
      times.map((ms, index) => (index < 4 || fits ? `${(ms / 1000).toFixed(2)} s` : 'does not fit twice')),
    );
  }
});

const facts = (changes: Partial<AdviceFacts> = {}): AdviceFacts => ({
  gpu: 'NVIDIA H200',
  driver: '580.159.04',
  software: false,
  gpuBytes: 140 * GIB,
  pool: true,
  cpus: 16,
  availableBytes: 100 * GIB,
  store: { path: '/mnt/huge', type: 'tmpfs', hugePages: true, freeBytes: 64 * GIB },
  process: undefined,
  limits: undefined,
  ...changes,
});

const server = {
  pid: 4711,
  deviceBytes: 16 * GIB,
  hostBytes: GIB,
  hasInterceptor: true,
  container: undefined,
};

describe('advice', () => {
  it('takes full, with the settings of the quickest cell, for what can be preloaded', () => {
    const advice = adviceFrom(facts({ process: server }), { store: '/mnt/huge', pid: 4711 });
    expect(advice).toMatchObject({
      variant: 'full',
      settings: { CRIU_CUDA_STREAMS: '8', CRIU_CUDA_CHUNK_MB: '8' },
      commands: [
        'criu-cuda checkpoint --variant full 4711 /mnt/huge/img',
        'criu-cuda restore --variant full /mnt/huge/img',
      ],
      problems: [],
    });
    expect(advice.restoreMs).toBeCloseTo(145 + 322 + 74, -1);
    expect(advice.ways.every(({ possible }) => possible)).toBe(true);
  });

  it('takes remap for a process without the interceptor, and says what starting it otherwise would save', () => {
    const process = { ...server, hasInterceptor: false };
    const advice = adviceFrom(facts({ process }), { store: '/mnt/huge', pid: 4711 });
    expect(advice.variant).toBe('remap');
    expect(advice.ways.filter(({ possible }) => possible).map(({ way }) => way)).toEqual(['stock', 'remap']);
    const [first] = advice.faster;
    expect(first?.what).toBe('start the program with criu-cuda run, for variant full');
    expect(first?.savesMs).toBeGreaterThan(1000);
  });

  it('names the commands for a container', () => {
    const process = { ...server, container: 'podman' };
    const { commands } = adviceFrom(facts({ process }), { store: '/mnt/huge', pid: 4711 });
    expect(commands[0]).toBe('criu-cuda container checkpoint NAME --variant full');
  });

  it('says that the pool is missing, that a disk is slow, and how much each would save', () => {
    const store = { path: '/images', type: 'ext4', hugePages: false, freeBytes: 64 * GIB };
    const advice = adviceFrom(facts({ pool: false, store }), { store: '/images', modelGib: 16 });
    expect(advice.commands).toContain('criu-cuda pool start');
    expect(advice.assumptions.join()).toContain('a disk that reads 4.1 GB/s');
    // 16 GiB at 4.1 instead of 53.4 GB/s
    const disk = advice.faster.find(({ what }) => what === 'images on a tmpfs in huge pages');
    expect(disk?.savesMs).toBeCloseTo(4190 - 322, -2);
    expect(advice.faster.map(({ what }) => what)).toContain('criu-cuda pool start');
  });

  it('computes a server from its share of the GPU, and what half of it saves', () => {
    const options = { store: '/mnt/huge', modelGib: 3, utilization: 0.3 };
    const { amounts, utilizations, problems } = adviceFrom(facts(), options);
    expect(amounts.deviceBytes).toBe(0.3 * 140 * GIB);
    expect(utilizations.map((one) => one.utilization)).toEqual([0.3, 0.5, 0.9]);
    const [less = 0, more = 0] = utilizations.map(({ restoreMs }) => restoreMs);
    expect(more - less).toBeCloseTo((0.2 * 140 * GIB) / 53.364 / 1e6, 0);
    expect(problems).toEqual([]);
  });

  it('says what will not work: space, memory, an old driver, a GPU that is too small', () => {
    const small = facts({
      driver: '550.54',
      gpuBytes: 8 * GIB,
      availableBytes: GIB,
      store: { path: '/dev/shm', type: 'tmpfs', hugePages: false, freeBytes: GIB },
    });
    const { problems, ways } = adviceFrom(small, { store: '/dev/shm', modelGib: 16 });
    expect(problems).toEqual([
      'driver 550.54 cannot checkpoint; 570 or newer can',
      '/dev/shm has 1 GiB; the images take 17 GiB',
      '/dev/shm is in memory, of which 1 GiB are available; the images take 17 GiB',
      'NVIDIA H200 has 8 GiB, less than the 16 GiB that are to be restored',
    ]);
    expect(ways.find(({ way }) => way === 'full, prefetched')).toMatchObject({
      possible: false,
      needs: 'twice the memory on the GPU: 32 GiB of 8 GiB',
    });
  });

  it('asks for a size when nothing tells it', async () => {
    const process = { ...server, deviceBytes: undefined };
    expect(() => adviceFrom(facts({ process }), { store: '/a', pid: 4711 })).toThrow(
      'how much device memory',
    );
    expect(() => adviceFrom(facts(), { store: '/a' })).toThrow('advice needs a process or a size');
    await expect(advise({ store: '/a', modelGib: -1 })).rejects.toThrow('-1 GiB');
    await expect(advise({ store: '/a', modelGib: 1, utilization: 30 })).rejects.toThrow('a share of 30');
  });
});

describe('criu-cuda advise', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'criu-cuda-advise-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('uses the rates of bench limits where they are, and prints JSON', async () => {
    const limits = { ...h200Rates, load: 1 };
    const file = { schemaVersion: 1, date: '2026-01-01T00:00:00Z', device: 'Slow', software: false, limits };
    writeFileSync(join(dir, 'limits.json'), JSON.stringify(file));
    const words = ['advise', '--model-gib', '1', '--store', dir, '--limits', dir, '--json'];
    const { io, stdout } = captureIo({ json: true });
    expect(await main(words, io)).toBe(0);
    const advice = JSON.parse(stdout()) as { restoreMs: number; source: string };
    expect(advice.source).toBe(`${join(dir, 'limits.json')} (Slow)`);
    // 1 GiB at 1 GB/s, and what does not depend on it
    expect(advice.restoreMs).toBeCloseTo(1074 + 145 + 74, -1);
  });

  it('says what it assumes, as text', async () => {
    const { io, stdout } = captureIo();
    expect(
      await main(['advise', '--model-gib', '3', '--gpu-memory-utilization', '0.3', '--store', dir], io),
    ).toBe(0);
    expect(stdout()).toMatch(/^variant full: a restore of .* of device memory takes about \d+\.\d{3} s/);
    expect(stdout()).toMatch(/full, prefetched +\d+\.\d{3} +(yes|no)/);
    expect(stdout()).toContain('assumed: 1 GiB of host memory that no file backs');
  });
});
