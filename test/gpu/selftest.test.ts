// SPDX-License-Identifier: MIT
/**
 * Runs the self-test as a vitest project: `npm run test:gpu`. Set CCR_GPU_UPSTREAM to a directory with CRIU's own
 * cuda_plugin.so and NVIDIA's cuda-checkpoint to compare with them, and CCR_GPU_SUITE=software to run the checks on the
 * software driver.
 */
import { beforeAll, expect, it } from 'vitest';
import { runSelftest, selftestChecks, selftestObstacle, type CheckResult } from '../../lib/selftest/index.ts';

const software = process.env.CCR_GPU_SUITE === 'software';
const upstream = process.env.CCR_GPU_UPSTREAM;
const obstacle = software ? undefined : await selftestObstacle();
let results: Map<string, CheckResult>;

beforeAll(async () => {
  if (obstacle !== undefined) return;
  const run = await runSelftest({ software, upstream });
  results = new Map(run.results.map((result) => [result.name, result]));
}, 1_800_000);

it.for(selftestChecks)('$name: $claim', ({ name }, { skip }) => {
  if (obstacle !== undefined) skip(obstacle);
  const result = results.get(name);
  if (result?.status === 'skipped') skip(result.reason);
  expect(result?.status, result?.reason).toBe('passed');
});
