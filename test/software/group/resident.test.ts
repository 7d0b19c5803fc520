// SPDX-License-Identifier: MIT
/**
 * Groups from images that are in device memory before the restore: prefetched, golden, held by the dump. What the ranks share is
 * copied for each restore, and two restores beside each other share nothing.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtProgram, interceptorLibrary } from '../../../lib/paths.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { askWorkload, Workload } from '../../../lib/workload/index.ts';
import { Clones } from '../../helpers/clones.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

const libdir = variantDir('full');
const SHAPES = {
  'descriptors, two devices': ['--devices', '2', '--alloc', '8'],
  'CUDA IPC, one device': ['--share', 'ipc', '--ranks', '3', '--lead', '--words', '300000'],
  'host memory only': ['--share', 'host', '--alloc', '8'],
};

let machine: ParallelMachine;
let clones: Clones;
beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
  clones = new Clones(machine);
  await machine.startPool();
});
afterEach(async () => {
  await clones.close();
  await machine.close();
});

type Ask = (request: string) => Promise<string>;

async function ok(ask: Ask, request: string): Promise<string> {
  const answer = await ask(request);
  expect(answer).toMatch(/^ok/);
  return answer;
}

/** Some steps more; then each rank reads everything through its own mappings. */
async function runAndSum(ask: Ask): Promise<void> {
  const step = Number(/step=(\d+)/.exec(await ok(ask, 'status'))?.[1]);
  await ok(ask, 'start');
  await ok(ask, `await ${step + 6}`);
  await ok(ask, 'stop');
  await ok(ask, 'sum');
}

/** Ranks that have stopped after some steps. */
async function start(args: readonly string[]): Promise<{ workload: Workload; pids: number[] }> {
  const workload = await Workload.start({
    program: [builtProgram('workload-ranks')],
    socketPath: clones.socketPath,
    args,
    env: { ...machine.env, LD_PRELOAD: interceptorLibrary() },
  });
  const ask = (request: string): Promise<string> => workload.ask(request);
  await runAndSum(ask);
  const pids =
    /pids=([\d,]+)/
      .exec(await ask('status'))?.[1]
      ?.split(',')
      .map(Number) ?? [];
  return { workload, pids: [workload.pid, ...pids] };
}

async function dump(
  workload: Workload,
  pids: readonly number[],
  env: Record<string, string> = {},
): Promise<void> {
  const { exitCode, log } = await machine.dump(workload, { libdir, env });
  expect(exitCode, errorsIn(log)).toBe(0);
  await waitUntilFree(...pids);
}

it.each([
  ['prefetched', false, {}],
  ['held by the dump', false, { CRIU_CUDA_HOLD: '1' }],
  ['golden', true, {}],
] as const)('%s: restored from device memory, then again', async (how, golden, env) => {
  const { workload, pids } = await start(SHAPES['descriptors, two devices']);
  await dump(workload, pids, env);
  if (how !== 'held by the dump') await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden });
  const ask: Ask = (request) => askWorkload(clones.socketPath, request, 20_000);
  for (let round = 0; round < 2; round++) {
    const { exitCode, log } = await machine.restore({ libdir });
    expect(exitCode, errorsIn(log)).toBe(0);
    await runAndSum(ask);
    const { counters } = await machine.poolStatus();
    if (golden || round === 0) expect(counters.loads).toBe(0);
    await machine.kill(workload.pid);
    await waitUntilFree(...pids);
  }
});

describe.each(Object.entries(SHAPES))('%s', (_shape, args) => {
  it('two restores of a golden image beside each other share nothing', async () => {
    const { workload, pids } = await start(args);
    await dump(workload, pids);
    await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden: true });
    const [one, other] = await Promise.all([clones.start(libdir), clones.start(libdir)]);
    await Promise.all([runAndSum(one), runAndSum(other)]);
    // A wrong bit of one rank is seen by the others of its own restore, and by nobody else.
    await one('poke 1');
    expect(await one('sum')).toMatch(/^error/);
    await runAndSum(other);
    const third = await clones.start(libdir);
    await runAndSum(third);
  });
});
