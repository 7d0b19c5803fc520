// SPDX-License-Identifier: MIT
import { chooseDriver } from '../../gpu/index.ts';
import type { Io } from '../../output.ts';

/**
 * Without a GPU a benchmark runs on the software driver, like the demo, so that anyone can try it; its results carry
 * a banner.
 */
export async function useDriver(io: Io): Promise<void> {
  const { software, library, reason } = await chooseDriver(false);
  if (!software || library === undefined) return;
  // for this program and everything it starts: workload, criu, pool daemon
  process.env.CRIU_CUDA_DRIVER = library;
  if (!io.json) io.err(`${reason}: using the software driver`);
}
