// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

function benchmark(name: string, ...words: string[]) {
  const script = join(projectRoot, 'benchmarks', name);
  return execResult(process.execPath, [script, ...words], { env: machine.env });
}

it('benchmarks/addon.mjs keeps every sample and says that it ran on the software driver', async () => {
  const out = join(machine.dir, 'addon.json');
  const tool = builtProgram('cuda-checkpoint');
  const small = ['--alloc', '8Mx4', '--queries', '1000', '--pairs', '2'];
  const { stdout, stderr, exitCode } = await benchmark(
    'addon.mjs',
    '--out',
    out,
    '--cuda-checkpoint',
    tool,
    ...small,
  );
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain('software driver: the times mean nothing');
  const result: unknown = JSON.parse(readFileSync(out, 'utf8'));
  expect(result).toMatchObject({
    environment: { software: true },
    deviceBytes: 32 * 2 ** 20,
    state: { addon: { n: 40 }, cudaCheckpoint: { n: 2 } },
    leaks: { queries: 1000 },
    eventLoop: { checksum: expect.stringMatching(/^[0-9a-f]{16}$/) as string },
  });
});

it('benchmarks/memcpy.mjs compares what it copied each way', async () => {
  const out = join(machine.dir, 'memcpy.json');
  const small = ['--size-mb', '4', '--rounds', '2', '--streams', '1,3', '--chunk-mb', '1'];
  const { stdout, stderr, exitCode } = await benchmark('memcpy.mjs', '--out', out, ...small);
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain('software driver: the rates mean nothing');
  const result = JSON.parse(readFileSync(out, 'utf8')) as {
    environment: { software: boolean };
    cases: { way: string; streams: number; direction: string; seconds: number[] }[];
  };
  expect(result.environment.software).toBe(true);
  expect(result.cases.map(({ way, streams }) => `${way} ${streams}`)).toEqual(
    ['driver, ordinary memory 1', 'driver, pinned memory 1', 'engine 1', 'engine 3'].flatMap((one) => [
      one,
      one,
    ]),
  );
  for (const { seconds } of result.cases) expect(seconds).toHaveLength(2);
});

it('benchmarks/contexts.mjs keeps every sample, of all parts', async () => {
  const out = join(machine.dir, 'contexts.json');
  const small = ['--processes', '2', '--queries', '5', '--alloc', '2M'];
  const { stdout, stderr, exitCode } = await benchmark('contexts.mjs', '--out', out, ...small);
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain('software driver: the times mean nothing');
  const five = { n: 5, samples: expect.arrayContaining([expect.any(Number)]) as number[] };
  expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({
    environment: { software: true },
    processes: 2,
    ...{ contexts: five, allContexts: five, probe: five, probes: five, state: five },
    ...{ nvmlProcesses: five, daemon: null, watch: five },
  });
});

it.each([
  ['addon.mjs', '--queries', '0', 'not a whole number above 0'],
  ['contexts.mjs', '--processes', 'many', 'not a whole number above 0'],
  ['memcpy.mjs', '--size-mb', '5000', 'at most 4095'],
])('benchmarks/%s names a wrong option', async (name, option, value, problem) => {
  const wrong = await benchmark(name, '--out', join(machine.dir, 'x'), option, value);
  expect(wrong).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining(`${option} ${value}: ${problem}`) as string,
  });
  expect((await benchmark(name)).stderr).toBe('--out FILE is required');
});
