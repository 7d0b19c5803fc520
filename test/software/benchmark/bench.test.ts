// SPDX-License-Identifier: MIT
/** A matrix with real CRIU: interrupted, continued, reported. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  matrixCases,
  parseLimits,
  readJson,
  readResult,
  runBenchmark,
  type BenchmarkRun,
  type LoopResult,
} from '../../../lib/benchmark/index.ts';
import { lossesOf } from '../../../lib/commands/bench/loop.ts';
import { captureIo } from '../../unit/cli/capture.ts';
import { main } from '../../../lib/program.ts';
import { builtProgram } from '../../../lib/paths.ts';
import { criuProgram, upstreamPlugin } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { shellBlocks } from '../../helpers/shell-blocks.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  vi.stubEnv('TMPDIR', machine.dir);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

/** Command lines of all running processes. */
function commandLines(): string[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) ? [readFileSync(`/proc/${name}/cmdline`, 'utf8')] : [];
    } catch {
      return []; // it has just ended
    }
  });
}

it('restores one checkpoint repeatedly, and reports leaks', async () => {
  const { io, stdout } = captureIo({ json: true });
  const words = ['bench', 'loop', '--case', 'parallel', '--alloc', '8Mx3', '--rounds', '5', '--json'];
  expect(await main([...words, '--store', join(machine.dir, 's')], io), stdout()).toBe(0);
  const result = JSON.parse(stdout()) as LoopResult & { losses: string[] };
  expect(result).toMatchObject({ case: 'parallel', rounds: 5, losses: [], verifiedMs: { n: 5 } });
  // all of the device but the memory of the program
  expect(result.freeBytes.last).toBe(result.freeBytes.first);
  expect(result.freeBytes.last).toBeLessThanOrEqual((256 - 24) * 2 ** 20);
  const lossy = {
    ...result,
    freeBytes: { first: 2 ** 21, last: 2 ** 20 },
    runDirEntries: { first: 1, last: 3 },
  };
  expect(lossesOf(lossy)).toEqual(['1 MiB of device memory', '2 files left in the run directory']);
});

it('measures another program, which must give the same answer', async () => {
  const out = join(machine.dir, 'other.json');
  const program = [builtProgram('workload-pattern'), '--alloc', '4Mx2'];
  const words = [
    'bench',
    'run',
    '--store',
    join(machine.dir, 's'),
    '--rounds',
    '1',
    '--warmup',
    '0',
    '--out',
    out,
  ];
  const good = captureIo();
  expect(await main([...words, '--question', 'addresses', '--', ...program], good.io), good.stderr()).toBe(0);
  expect(readResult(out)).toMatchObject({ workload: program, samples: [{ case: 'stock', round: 0 }] });
  // an answer that contains the time is never the same
  const bad = captureIo();
  expect(await main([...words, '--question', 'verify', '--', ...program], bad.io)).toBe(1);
  expect(bad.stderr()).toContain('memory of the restored process differs from that of the dumped one');
  const none = captureIo();
  expect(await main([...words, '--restart', '--', ...program], none.io)).toBe(1);
  expect(none.stderr()).toContain('unexpected answer to "answer": "error answer unknown request');
});

it('measures every combination, cleans up when it is interrupted, and continues from there', async () => {
  const stores = ['a', 'b'].map((name) => join(machine.dir, name));
  const out = join(machine.dir, 'results', 'matrix.json');
  const stop = new AbortController();
  const run: BenchmarkRun = {
    cases: matrixCases({
      variants: ['parallel'],
      streams: [1, 8],
      chunksMb: [2, 8],
      pools: [0],
      stores,
      prefetch: [false],
    }),
    workload: ['--alloc', '8Mx3'],
    rounds: 3,
    warmup: 0,
    store: stores[0] ?? '',
    pageCache: 'warm',
    out,
  };
  const remaining: number[] = [];
  const stopped = runBenchmark({
    ...run,
    signal: stop.signal,
    onProgress: ({ done, remainingMs }) => {
      remaining.push(remainingMs);
      if (done === 5) stop.abort(new Error('enough'));
    },
  });
  await expect(stopped).rejects.toThrow('enough');
  expect(remaining).toHaveLength(5);
  expect(existsSync(out)).toBe(false);
  expect(stores.flatMap((store) => readdirSync(store))).toEqual([]);
  expect(commandLines().filter((line) => line.includes(machine.dir))).toEqual([]);

  let fresh = 0;
  const result = await runBenchmark({
    ...run,
    onProgress: () => {
      fresh += 1;
    },
  });
  expect(fresh).toBe(8 * 3 - 5);
  expect(existsSync(`${out}.partial`)).toBe(false);
  expect(readResult(out)).toEqual(result);
  const runs = result.samples.map((sample) => `${sample.round} ${sample.case}`);
  expect(runs).toEqual([0, 1, 2].flatMap((round) => run.cases.map(({ name }) => `${round} ${name}`)));
  for (const { typedMs = 0, verifiedMs, restoreMs, dumpTypedMs = 0, dumpMs } of result.samples) {
    // a program was started for each, and the library ran in it
    expect(verifiedMs).toBeGreaterThan(restoreMs);
    expect(typedMs).toBeGreaterThan(verifiedMs);
    expect(dumpTypedMs).toBeGreaterThan(dumpMs);
  }
  expect(readFileSync(out.replace('.json', '.csv'), 'utf8').trim().split('\n')).toHaveLength(1 + 8 * 3);
  expect(result.environment).toMatchObject({ software: true, pageCache: 'warm' });
  expect(result.environment.imageStores?.map(({ path }) => path)).toEqual(stores);

  const limits = ['bench', 'limits', '--store', machine.dir, '--size', '16M'];
  const file = join(machine.dir, 'results', 'limits.json');
  expect(await main([...limits, '--out', file], captureIo().io)).toBe(0);
  const { limits: rates } = parseLimits(readJson(file), file);
  for (const rate of Object.values(rates)) expect(rate).toBeGreaterThan(0);
  expect(readdirSync(machine.dir).filter((name) => name.startsWith('limits-'))).toEqual([]);

  const { io, stdout } = captureIo();
  expect(await main(['bench', 'report', join(machine.dir, 'results')], io)).toBe(0);
  expect(stdout()).toContain('SOFTWARE DRIVER');
  expect(stdout()).toContain('limits of the machine');
  expect(readFileSync(join(machine.dir, 'results', 'report.html'), 'utf8')).toContain('Threads × chunk');
}, 120_000);

it('runs the command of docs/driver-api.md for a driver with custom storage', async ({ skip }) => {
  const plugin = upstreamPlugin();
  if (plugin === undefined) skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
  const upstream = join(machine.dir, 'upstream');
  mkdirSync(upstream);
  cpSync(plugin ?? '', join(upstream, 'cuda_plugin.so'));
  cpSync(builtProgram('cuda-checkpoint'), join(upstream, 'cuda-checkpoint'));
  vi.stubEnv('SOFTCUDA_DRIVER', '615');
  vi.stubEnv('CRIU_FAULT', '138'); // CRIU's own switch: use its plugin although there is no GPU
  const out = join(machine.dir, 'storage.json');
  const [command = ''] = shellBlocks('docs/driver-api.md').flatMap((block) => block.commands);
  const words = command
    .replace('DIR', upstream)
    .replace('/mnt/img', join(machine.dir, 's'))
    .replace('storage.json', out)
    .replace('512Mx32', '8Mx3')
    .split(' ');
  const { io, stderr } = captureIo();
  expect(await main([...words.slice(1), '--rounds', '1', '--warmup', '0'], io), stderr()).toBe(0);

  const { samples } = readResult(out);
  expect(samples.map((sample) => sample.case)).toEqual(['upstream', 'remap', 'driver']);
  // with the memory of the context
  const [, , driver] = samples;
  expect(driver?.deviceBytes).toBeGreaterThanOrEqual(24 * 2 ** 20);
  const copying = samples.map(({ dumpPhases, restorePhases }) =>
    [dumpPhases, restorePhases].map((phases) => phases.some(({ name }) => name === 'custom storage')),
  );
  expect(copying).toEqual([
    [false, false],
    [false, false],
    [true, true],
  ]);
});
