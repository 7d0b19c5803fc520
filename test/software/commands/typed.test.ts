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

/** Rounds at most. Another program may need the processors meanwhile; what is asked for has to be seen once. */
const ROUNDS = 30;
/** Rounds at least, so that both sides of a comparison have had an undisturbed moment. */
const FIRST_ROUNDS = 5;
/** Starts of Node that a command may cost; the aim for checkpoint and restore is two as well. */
const STARTS = 2;
const OPERATION_STARTS = 3;
const ALLOWED_MS = 30;
const TIMEOUT_MS = 300_000;

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

/** Certificates that only this machine has would be read at every start of Node, and make it look slow. */
const plain = { NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined };

/** Runs node as a shell would, from before its start to its end. */
async function timed(...args: string[]): Promise<Timed> {
  const env = { ...process.env, ...plain, ...machine.env, CRIU_CUDA_CRIU: criuProgram() };
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

/** The shortest time of each of these, which are measured in turns until the times are short enough. */
async function shortest<Name extends string>(
  measures: Record<Name, () => Promise<number>>,
  isEnough: (best: Record<Name, number>) => boolean,
): Promise<Record<Name, number>> {
  const names = Object.keys(measures) as Name[];
  const best = Object.fromEntries(names.map((name) => [name, Number.POSITIVE_INFINITY])) as Record<
    Name,
    number
  >;
  for (let round = 0; round < FIRST_ROUNDS || (round < ROUNDS && !isEnough(best)); round += 1) {
    for (const name of names) best[name] = Math.min(best[name], await measures[name]());
  }
  return best;
}

describe('what is typed', () => {
  it('costs at most two starts of Node for --version', async () => {
    const measures = { node: nodeMs, version: async () => (await typed('--version')).ms };
    const best = await shortest(measures, ({ node, version }) => version <= STARTS * node);
    expect(best.version / best.node).toBeLessThanOrEqual(STARTS);
  });

  it(
    'costs at most three starts of Node and 30 ms besides criu for checkpoint and restore',
    { timeout: TIMEOUT_MS },
    async () => {
      /** What a command takes besides criu. */
      const besides = async (...args: string[]): Promise<number> => {
        const { ms, stdout } = await typed(...args, '--images-dir', machine.imagesDir, '--json');
        const { durationMs } = JSON.parse(stdout) as { durationMs: number };
        return ms - durationMs;
      };
      const before = await workload.verify();
      let isFirst = true;
      const best = await shortest(
        {
          node: nodeMs,
          checkpoint: async () => {
            // this process is the parent of what was restored, as an init would be
            const collected = isFirst ? workload.ended() : waitForExit(workload.pid);
            isFirst = false;
            const ms = await besides('checkpoint', '--pid', String(workload.pid), '--force');
            await collected;
            return ms;
          },
          restore: () => besides('restore', '--detach'),
        },
        ({ node, checkpoint, restore }) =>
          Math.max(checkpoint, restore) <= OPERATION_STARTS * node + ALLOWED_MS,
      );
      expect(await workload.verify()).toBe(before);
      await killTree(workload.pid);
      const allowed = OPERATION_STARTS * best.node + ALLOWED_MS;
      expect(best.restore).toBeLessThanOrEqual(allowed);
      expect(best.checkpoint).toBeLessThanOrEqual(allowed);
    },
  );
});
