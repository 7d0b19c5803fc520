// SPDX-License-Identifier: MIT
/**
 * The command for a machine with two GPUs, on two software devices: it compares all memory, and says which rows the
 * machine cannot run. The rows that need PyTorch are run by hand.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

interface Row {
  row: string;
  skipped?: string;
  error?: string;
  moved?: number;
  restores?: { answeredMs: number }[];
}

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

/** Without PyTorch, whatever the machine has. */
const python = ['-S', join(projectRoot, 'benchmarks', 'groups', 'run.py')];

async function run(rows: string, env: Record<string, string> = {}): Promise<{ said: string; rows: Row[] }> {
  const output = join(machine.dir, 'two.json');
  const words = ['--software', '--store', join(machine.dir, 'store'), '--output', output, '--rows', rows];
  const programs = [
    ...['--criu-cuda', join(projectRoot, 'dist', 'cli.cjs')],
    ...['--ranks-program', builtProgram('workload-ranks'), '--logs', join(machine.dir, 'logs')],
  ];
  const done = await execResult('python3', [...python, ...words, ...programs], {
    env: { ...machine.env, CRIU_CUDA_CRIU: criuProgram(), TMPDIR: machine.dir, ...env },
    timeoutMs: 300_000,
  });
  expect(done.exitCode, done.stdout + done.stderr).toBe(0);
  return { said: done.stdout, rows: (JSON.parse(readFileSync(output, 'utf8')) as { rows: Row[] }).rows };
}

it('rolls back, leaves running and restores ranks that share memory, also on swapped devices', async () => {
  const { said, rows } = await run('ranks-vmm,ranks-ipc,ranks-swapped,training,vllm');
  expect(rows.map(({ row, restores, error }) => [row, restores?.length, error])).toEqual([
    ['ranks-vmm', 2, undefined],
    ['ranks-ipc', 2, undefined],
    ['ranks-swapped', 2, undefined],
    ['training', undefined, undefined],
    ['vllm', undefined, undefined],
  ]);
  expect(rows[2]).toMatchObject({ moved: 2 });
  expect(said).toMatch(/^passed {3}ranks-swapped .*2 processes moved/m);
  expect(said).toMatch(/^skipped {2}training: needs torch/m);
}, 300_000);

it('says by name what one GPU cannot show', async () => {
  const { said, rows } = await run('ranks-vmm,training,training-ipc,memory,bandwidth,vllm', {
    SOFTCUDA_DEVICES: '1',
  });
  expect(rows.map(({ skipped }) => skipped)).toEqual(rows.map(() => 'needs 2 GPUs; this machine has 1'));
  expect(said.split('\n').filter((line) => line.startsWith('skipped'))).toHaveLength(6);
}, 60_000);
