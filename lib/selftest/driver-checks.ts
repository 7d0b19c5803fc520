// SPDX-License-Identifier: MIT
/**
 * What querying and watching a process costs, and what a dump leaves in device memory.
 * @module
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { listGpuProcesses, listGpus, openDriver } from '../gpu/index.ts';
import { Skipped, type Check } from './check.ts';
import { ensure, ensureSame } from './ensure.ts';
import { snapshotOf, type Sandbox } from './sandbox.ts';
import { spread } from './statistics.ts';

const QUERIES = 2000;
const WARM_UP = 50;
/** Measured on an H200: 0.09 ms. */
const MAX_QUERY_MS = 1;
const RESOLUTION_MS = 1;
/** Measured on an H200 during a checkpoint: 0.6 ms; timers of a busy machine are later. */
const MAX_DELAY_MS = 50;

const stateQuery: Check = {
  name: 'state-query',
  claim: `a query of a process's state takes at most ${MAX_QUERY_MS} ms`,
  run: async (sandbox, { software }) => {
    const { pid } = await sandbox.start('stock');
    const driver = await openDriver({ path: sandbox.options.driver });
    const samples: number[] = [];
    for (let query = -WARM_UP; query < QUERIES; query += 1) {
      const start = performance.now();
      const state = await driver.state(pid);
      if (query >= 0) samples.push(performance.now() - start);
      ensure(state === 'running', `process ${pid} is ${state}`);
    }
    const figures = spread('query', samples);
    const { queryMedianMs } = figures;
    ensure(
      software || (typeof queryMedianMs === 'number' && queryMedianMs <= MAX_QUERY_MS),
      `a query takes ${queryMedianMs ?? 'unknown'} ms`,
    );
    return figures;
  },
};

const eventLoop: Check = {
  name: 'event-loop',
  claim: `the event loop is never blocked for ${MAX_DELAY_MS} ms while the driver checkpoints and restores`,
  run: async (sandbox, { software }) => {
    const workload = await sandbox.start('stock');
    const before = await snapshotOf(workload);
    const driver = await openDriver({ path: sandbox.options.driver });
    const { pid } = workload;
    const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    await driver.lock(pid);
    histogram.enable();
    const start = performance.now();
    await driver.checkpoint(pid);
    const checkpointMs = performance.now() - start;
    ensure((await driver.state(pid)) === 'checkpointed', `process ${pid} is not checkpointed`);
    await driver.restore(pid);
    histogram.disable();
    await driver.unlock(pid);
    ensureSame('device memory', before, await snapshotOf(workload));
    const maxDelayMs = Math.max(0, histogram.max / 1e6 - RESOLUTION_MS);
    ensure(
      software || maxDelayMs <= MAX_DELAY_MS,
      `the event loop was blocked for ${maxDelayMs.toFixed(1)} ms`,
    );
    return {
      checkpointMs,
      maxDelayMs,
      p99DelayMs: Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS),
    };
  },
};

/** The driver frees the memory of a process a moment after its end. */
const RETURN_TIMEOUT_MS = 20_000;
const LOOK_MS = 20;

async function usedBytes(sandbox: Sandbox): Promise<number> {
  const { driver } = sandbox.options;
  const { gpus } = await listGpus({ driver });
  return gpus.reduce((sum, { memory }) => sum + (memory?.usedBytes ?? 0), 0);
}

/** Waits until at most that much is used. NVML has no event for it. */
async function untilUsed(sandbox: Sandbox, wanted: number, when: string): Promise<void> {
  const end = performance.now() + RETURN_TIMEOUT_MS;
  let used = await usedBytes(sandbox);
  while (used > wanted && performance.now() < end) {
    await delay(LOOK_MS);
    used = await usedBytes(sandbox);
  }
  ensure(used <= wanted, `${used} bytes of device memory are in use ${when}, ${wanted} were before`);
}

const deviceMemory: Check = {
  name: 'device-memory',
  claim:
    'a dump frees all device memory of a program, a restore allocates the same again, and the end of the program frees it',
  run: async (sandbox) => {
    const others = await listGpuProcesses({ driver: sandbox.options.driver });
    if (others.length > 0) throw new Skipped(`other programs use the GPUs: ${others[0]?.pid ?? 'unknown'}`);
    const idle = await usedBytes(sandbox);
    const workload = await sandbox.start('parallel');
    const running = await usedBytes(sandbox);
    ensure(running >= idle + sandbox.options.bytes, `the program has only ${running - idle} bytes`);
    const { snapshot } = await sandbox.dump(workload, 'parallel');
    await untilUsed(sandbox, idle, 'after the dump');
    const restored = await sandbox.restore('parallel');
    ensureSame('device memory', snapshot, await snapshotOf(workload));
    const again = await usedBytes(sandbox);
    ensure(again >= idle + sandbox.options.bytes, `the restored program has only ${again - idle} bytes`);
    await sandbox.end(restored);
    await untilUsed(sandbox, idle, 'after the end of the restored program');
    return { idleBytes: idle, runningBytes: running, restoredBytes: again };
  },
};

export const driverChecks: readonly Check[] = [stateQuery, eventLoop, deviceMemory];
