// SPDX-License-Identifier: MIT
/**
 * A training run that is dumped in the middle continues like one that was not.
 * @module
 */
import { join } from 'node:path';
import { execResult } from '../exec.ts';
import { projectRoot } from '../paths.ts';
import type { PluginVariant } from '../variant.ts';
import { Skipped, type Check, type CheckSettings } from './check.ts';
import { ensure, ensureSame } from './ensure.ts';
import type { Sandbox } from './sandbox.ts';
import type { Workload } from '../workload/index.ts';

const STEPS = 40;
const IMPORT_TIMEOUT_MS = 120_000;
const HAS_TORCH = 'import torch; assert torch.cuda.is_available(), "torch finds no CUDA device"';

/** The backend of training.py that can run here. */
async function backendOf({ python, software }: CheckSettings): Promise<'torch' | 'driver'> {
  const words = software ? 'import ctypes' : HAS_TORCH;
  const asked = await execResult(python, ['-c', words], { timeoutMs: IMPORT_TIMEOUT_MS }).catch(
    () => undefined,
  );
  if (!asked) throw new Skipped(`cannot run ${python}`);
  if (asked.exitCode === 0) return software ? 'driver' : 'torch';
  throw new Skipped(`${python}: ${asked.stderr.trim().split('\n').at(-1) ?? 'import torch failed'}`);
}

async function train(workload: Workload): Promise<string> {
  const losses = await workload.ask(`train ${STEPS}`);
  ensure(!/nan|inf/.test(losses), 'a loss is not finite');
  return `${losses}; weights ${await workload.ask('digest')}`;
}

const training = (variant: PluginVariant): Check => ({
  name: `training-${variant}`,
  claim: `a PyTorch training that ${variant} dumps in the middle has the same losses and weights as one without a dump`,
  run: async (sandbox: Sandbox, settings) => {
    const backend = await backendOf(settings);
    const options = {
      program: [settings.python, join(projectRoot, 'benchmarks', 'workloads', 'training.py')],
      args: ['--backend', backend],
    };
    const undisturbed = await sandbox.startProgram(variant, options);
    const expected = [await train(undisturbed), await train(undisturbed)];
    await undisturbed.kill();
    ensure(expected[0] !== expected[1], 'both halves of the training are the same');

    const workload = await sandbox.startProgram(variant, options);
    ensureSame('the first half, before the dump,', expected[0] ?? '', await train(workload));
    const { durationMs: dumpMs, imageBytes } = await sandbox.dumpProgram(workload, variant);
    const start = performance.now();
    const restored = await sandbox.restore(variant);
    const second = await train(workload);
    const trainedMs = performance.now() - start;
    ensureSame('the second half', expected[1] ?? '', second);
    return { backend, dumpMs, restoreMs: restored.result.durationMs, trainedMs, imageBytes };
  },
});

export const trainingChecks: readonly Check[] = (['stock', 'remap', 'parallel', 'full'] as const).map(
  training,
);
