// SPDX-License-Identifier: MIT
/** Servers measured over HTTP, with real CRIU: their tokens are digits of the checksum of all device memory. */
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  type BenchmarkResult,
  parseCase,
  readResult,
  runBenchmark,
  type Sample,
  ServerBench,
} from '../../../lib/benchmark/index.ts';
import { builtProgram } from '../../../lib/paths.ts';
import { main } from '../../../lib/program.ts';
import { countConnections, untilNoConnections } from '../../../lib/server/index.ts';
import { freePort } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { captureIo } from '../../unit/cli/capture.ts';

let machine: Machine;
let store: string;
let url: string;
let program: string[];

beforeEach(async () => {
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  vi.stubEnv('TMPDIR', machine.dir);
  const port = await freePort();
  store = join(machine.dir, 'store');
  url = `http://127.0.0.1:${port}`;
  program = [builtProgram('workload-pattern'), '--alloc', '8Mx3', '--http', String(port)];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

const total = (phases: Sample['restorePhases']): number =>
  phases.reduce((sum, one) => sum + one.durationMs, 0);

/** Pids of this test's servers that are running. */
function servers(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(program.join('\0'));
    } catch {
      return false; // it has just ended
    }
  });
}

it('measures all cases to the first token, and dumps a restored server again', async () => {
  const out = join(machine.dir, 'results', 'server.json');
  const cases = ['cold-start', 'stock', 'parallel', 'full', 'full-prefetched', 'full-held', 'full-standby'];
  const words = ['bench', 'run', '--cases', cases.join(','), '--url', url, '--requests', '2', '--reuse'];
  const more = ['--rounds', '2', '--warmup', '0', '--store', store, '--out', out, '--', ...program];
  const { io, stderr } = captureIo();
  expect(await main([...words, ...more], io), stderr()).toBe(0);
  expect(servers()).toEqual([]);
  expect(readdirSync(store)).toEqual([]);

  const { samples, workload } = readResult(out);
  expect(workload).toEqual(program);
  expect(samples.map((one) => one.case)).toEqual([...cases, ...cases]);
  for (const sample of samples) {
    expect(total(sample.dumpPhases)).toBeCloseTo(sample.dumpMs, 3);
    expect(total(sample.restorePhases)).toBeCloseTo(sample.restoreMs, 3);
    expect(sample.verifiedMs).toBeGreaterThan(0);
    // contents of the GPU images; the other variants write none
    const isImaged = /^(parallel|full)/.test(sample.case);
    expect(sample.deviceBytes, sample.case).toEqual(isImaged ? 24 * 2 ** 20 : undefined);
  }
  const cold = samples.filter((one) => one.case === 'cold-start');
  for (const one of cold) {
    expect(one).toMatchObject({ dumpMs: 0, imageBytes: 0, coldMs: one.verifiedMs });
    expect(one.verifiedMs).toBeGreaterThan(one.restoreMs);
    // start, load and first token add up to the cold start
    expect(one.coldPhases?.map(({ name }) => name)).toEqual(['start', 'load', 'first token']);
    expect(total(one.coldPhases ?? [])).toBeCloseTo(one.verifiedMs, 3);
  }
  // five cases of a round have the interceptor and share one start, unless a cold start came between them
  const started = samples.filter((one) => one.coldMs !== undefined).map((one) => `${one.round} ${one.case}`);
  expect(started).toEqual(['0 cold-start', '0 stock', '0 parallel', '1 cold-start', '1 stock', '1 parallel']);

  const report = captureIo();
  expect(await main(['bench', 'report', join(machine.dir, 'results')], report.io)).toBe(0);
  const row = report
    .stdout()
    .split('\n')
    .find((line) => line.includes('cold-start'));
  expect(row).toMatch(/\d/);
  expect(row).not.toMatch(/NaN|Infinity/);
  expect(report.stdout()).toMatch(/start, s +load, s +first token, s/);
  const { command, until } = readResult(out);
  expect(command).toEqual(['criu-cuda', ...words, ...more]);
  expect(until).toBe('first token');
}, 120_000);

it('stops the server when it is interrupted, and continues from there', async () => {
  const stop = new AbortController();
  const run = async (signal: AbortSignal, onSample: () => void): Promise<BenchmarkResult> => {
    const bench = new ServerBench({ command: program, server: { url }, requests: 1, reuse: true, signal });
    try {
      return await runBenchmark({
        cases: ['stock', 'parallel'].map((name) => parseCase(name)),
        workload: program,
        measure: (one, round, dir) => bench.measure(one, round, dir),
        rounds: 2,
        warmup: 0,
        store,
        pageCache: 'warm',
        out: join(machine.dir, 'stopped.json'),
        signal,
        onProgress: onSample,
      });
    } finally {
      await bench.close();
    }
  };
  const stopped = run(stop.signal, () => {
    stop.abort(new Error('enough'));
  });
  await expect(stopped).rejects.toThrow('enough');
  expect(servers()).toEqual([]);
  let fresh = 0;
  const { samples } = await run(new AbortController().signal, () => {
    fresh += 1;
  });
  expect(fresh).toBe(3);
  expect(samples.map((one) => `${one.round} ${one.case}`)).toEqual([
    '0 stock',
    '0 parallel',
    '1 stock',
    '1 parallel',
  ]);
  expect(servers()).toEqual([]);
});

it('measures a matrix, each sample with its own server', async () => {
  const out = join(machine.dir, 'matrix.json');
  const words = [
    'bench',
    'matrix',
    '--variants',
    'full',
    '--streams',
    '1,2',
    '--chunk-mb',
    '2',
    '--pool',
    '0,1',
  ];
  const more = ['--rounds', '1', '--warmup', '0', '--store', store, '--out', out, '--url', url];
  const { io, stderr } = captureIo();
  expect(await main([...words, ...more, '--', ...program], io), stderr()).toBe(0);
  const { samples } = readResult(out);
  expect(samples.map((one) => one.case)).toEqual([
    'full s1 c2 p0',
    'full s1 c2 p1',
    'full s2 c2 p0',
    'full s2 c2 p1',
  ]);
  for (const sample of samples) expect(sample.coldMs).toBeGreaterThan(0);
  expect(servers()).toEqual([]);
});

it('says what is wrong with a server, and leaves none running', async () => {
  const words = ['bench', 'run', '--store', store, '--rounds', '1', '--warmup', '0', '--url', url];
  const to = (name: string): string[] => ['--output', join(machine.dir, 'results', `${name}.json`)];
  const none = captureIo();
  expect(await main(words, none.io)).toBe(2);
  expect(none.stderr()).toContain('--url needs the command of the server after --');

  const small = captureIo();
  expect(
    await main(
      [...words, ...to('small'), '--', builtProgram('workload-pattern'), '--alloc', '8000G', '--http', '1'],
      small.io,
    ),
  ).toBe(1);
  expect(small.stderr()).toMatch(/ended; its last output:\n.*OUT_OF_MEMORY/);

  const missing = captureIo();
  expect(
    await main([...words, ...to('missing'), '--', join(machine.dir, 'no-such-server')], missing.io),
  ).toBe(1);
  expect(missing.stderr()).toContain(`cannot start ${join(machine.dir, 'no-such-server')}`);

  const broken = captureIo();
  expect(
    await main([...words, ...to('broken'), '--cases', `broken=${machine.dir}`, '--', ...program], broken.io),
  ).not.toBe(0);
  expect(servers()).toEqual([]);
  expect(readdirSync(store)).toEqual([]);

  const other = createServer((_, response) => response.end('well')).listen(
    Number(new URL(url).port),
    '127.0.0.1',
  );
  await once(other, 'listening');
  const taken = captureIo();
  expect(await main([...words, ...to('taken'), '--', ...program], taken.io)).toBe(2);
  expect(taken.stderr()).toContain(`something already answers at ${url}`);
  other.close();
});

it('waits until the connections of a server are closed', async () => {
  const port = Number(new URL(url).port);
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  await untilNoConnections(port);
  const client = connect(port, '127.0.0.1');
  await once(server, 'connection');
  const table = readFileSync('/proc/net/tcp', 'utf8');
  expect(countConnections(table, port)).toBe(1);
  expect(countConnections(table, port === 1 ? 2 : 1)).toBe(0);
  await expect(untilNoConnections(port, { timeoutMs: 20 })).rejects.toMatchObject({
    code: 'ERR_SERVER',
    message: `the server on port ${port} still has 1 connections open after 20 ms`,
  });
  const closed = untilNoConnections(port);
  client.destroy();
  await closed;
  server.close();
});
