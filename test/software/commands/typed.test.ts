// SPDX-License-Identifier: MIT
/**
 * What the command line adds to criu's own time, as a person sees it who types a command: in pairs with the time that Node
 * takes to start, on this machine and at this moment. Needs `npm run build:ts`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { programFile } from '../../../lib/paths.ts';
import { killTree, waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

const PAIRS = 10;
/** Another program may need the processors meanwhile; what is asked for has to be seen once. */
const ATTEMPTS = 4;
/** Starts of Node that a command may cost. */
const VERSION_STARTS = 2;
const OPERATION_STARTS = 3;
const ALLOWED_MS = 30;

let machine: Machine;
let workload: Workload;
beforeEach(async () => {
  machine = new Machine();
  workload = await machine.start({ args: ['--alloc', '1M'] });
});
afterEach(async () => {
  await machine.close();
});

interface Timed {
  ms: number;
  stdout: string;
}

/** Runs node as a shell would, from before its start to its end. */
async function timed(...args: string[]): Promise<Timed> {
  const env = { ...process.env, ...machine.env, CRIU_CUDA_CRIU: criuProgram() };
  const start = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, [code]] = await Promise.all([text(child.stdout), ended]);
  const ms = performance.now() - start;
  expect([args, code]).toEqual([args, 0]);
  return { ms, stdout };
}

const typed = (...args: string[]): Promise<Timed> => timed(programFile, ...args);
const nodeMs = async (): Promise<number> => (await timed('-e', '0')).ms;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Repeats a measurement until its median is small enough. @returns the smallest median */
async function smallest(measure: () => Promise<number[]>, limit: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ATTEMPTS && best > limit; i += 1) best = Math.min(best, median(await measure()));
  return best;
}

async function pairs(measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  for (let i = 0; i < PAIRS; i += 1) values.push(await measure());
  return values;
}

describe('what is typed', () => {
  it('costs at most two starts of Node for --version', async () => {
    const measure = () => pairs(async () => (await typed('--version')).ms / (await nodeMs()));
    expect(await smallest(measure, VERSION_STARTS)).toBeLessThanOrEqual(VERSION_STARTS);
  });

  it('costs at most three starts of Node and 30 ms besides criu for checkpoint and restore', async () => {
    const { imagesDir } = machine;
    const added = async (...args: string[]): Promise<number> => {
      const node = await nodeMs();
      const { ms, stdout } = await typed(...args, '--images-dir', imagesDir, '--json');
      const { durationMs } = JSON.parse(stdout) as { durationMs: number };
      return ms - durationMs - OPERATION_STARTS * node;
    };
    const before = await workload.verify();
    const restores: number[] = [];
    let cycle = 0;
    const cycles = (): Promise<number[]> => {
      restores.length = 0;
      return pairs(async () => {
        // this process is the parent of what was restored, as an init would be
        const collected = cycle > 0 ? waitForExit(workload.pid) : workload.ended();
        const checkpoint = await added('checkpoint', '--pid', String(workload.pid), '--force');
        await collected;
        cycle += 1;
        restores.push(await added('restore', '--detach'));
        return checkpoint;
      });
    };
    let bestRestore = Number.POSITIVE_INFINITY;
    const both = async (): Promise<number[]> => {
      const checkpoints = await cycles();
      bestRestore = Math.min(bestRestore, median(restores));
      return bestRestore <= ALLOWED_MS ? checkpoints : checkpoints.map(() => Number.POSITIVE_INFINITY);
    };
    const bestCheckpoint = await smallest(both, ALLOWED_MS);
    expect(await workload.verify()).toBe(before);
    await killTree(workload.pid);
    expect(bestRestore).toBeLessThanOrEqual(ALLOWED_MS);
    expect(bestCheckpoint).toBeLessThanOrEqual(ALLOWED_MS);
  });
});
