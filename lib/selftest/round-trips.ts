// SPDX-License-Identifier: MIT
/**
 * A program is dumped, ends, and is restored with every byte where it was.
 * @module
 */
import { pluginVariants, type PluginVariant } from '../variant.ts';
import { Skipped, type Check, type CheckSettings, type Figures } from './check.ts';
import { ensure, ensureSame } from './ensure.ts';
import { snapshotOf, type Plugin, type Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

/** A dump by one plugin and a restore by another. Times in milliseconds. */
export async function roundTrip(
  sandbox: Sandbox,
  dumper: Plugin,
  restorer: Plugin = dumper,
): Promise<{ dumpMs: number; restoreMs: number; verifiedMs: number; imageBytes: number }> {
  const workload = await sandbox.start(dumper);
  const { snapshot, result } = await sandbox.dump(workload, dumper);
  const start = performance.now();
  const restored = await sandbox.restore(restorer);
  const after = await snapshotOf(workload);
  const verifiedMs = performance.now() - start;
  ensureSame('device memory', snapshot, after);
  await sandbox.end(restored);
  return {
    dumpMs: result.durationMs,
    restoreMs: restored.result.durationMs,
    verifiedMs,
    imageBytes: result.imageBytes,
  };
}

const perVariant = (variant: PluginVariant): Check => ({
  name: `round-trip-${variant}`,
  claim: `variant ${variant} restores every byte at its address`,
  run: (sandbox) => roundTrip(sandbox, variant),
});

const leaveRunning = (variant: PluginVariant): Check => ({
  name: `leave-running-${variant}`,
  claim: `a program that ${variant} dumps and leaves running keeps its memory, and its images can be restored`,
  run: async (sandbox) => {
    const workload = await sandbox.start(variant);
    const { snapshot, result } = await sandbox.dump(workload, variant, { leaveRunning: true });
    ensureSame('device memory of the running program', snapshot, await snapshotOf(workload));
    await workload.kill();
    await sandbox.restore(variant);
    ensureSame('device memory', snapshot, await snapshotOf(workload));
    return { pausedMs: result.frozenMs ?? 'unknown', dumpMs: result.durationMs };
  },
});

/** @throws {@link Skipped} without it */
function upstreamOf({ upstream }: CheckSettings): { upstream: string } {
  if (upstream !== undefined) return { upstream };
  throw new Skipped("no --upstream DIR with CRIU's own cuda_plugin.so and cuda-checkpoint");
}

const fromUpstream: Check = {
  name: 'images-of-upstream',
  claim: "stock restores what CRIU's own plugin dumped",
  run: (sandbox, settings) => roundTrip(sandbox, upstreamOf(settings), 'stock'),
};

const forUpstream: Check = {
  name: 'images-for-upstream',
  claim: "CRIU's own plugin restores what stock dumped",
  run: (sandbox, settings) => roundTrip(sandbox, 'stock', upstreamOf(settings)),
};

const ROUNDS = 3;

const floor: Check = {
  name: 'speed-up',
  claim: "full with the pool daemon restores faster than CRIU's own plugin by at least the requested factor",
  run: async (sandbox, settings) => {
    const upstream = upstreamOf(settings);
    const [slow, fast]: [number[], number[]] = [[], []];
    await sandbox.startPool();
    for (let round = 0; round < ROUNDS; round += 1) {
      slow.push((await roundTrip(sandbox, upstream)).verifiedMs);
      fast.push((await roundTrip(sandbox, 'full')).verifiedMs);
    }
    const speedup = median(slow) / median(fast);
    const figures: Figures = { upstreamMs: median(slow), fullMs: median(fast), speedup };
    ensure(
      settings.software || speedup >= settings.minSpeedup,
      `full restores ${speedup.toFixed(1)} times as fast as upstream, less than ${settings.minSpeedup}`,
    );
    return figures;
  },
};

export const roundTripChecks: readonly Check[] = [
  ...pluginVariants.map(perVariant),
  leaveRunning('stock'),
  leaveRunning('full'),
  fromUpstream,
  forUpstream,
  floor,
];
