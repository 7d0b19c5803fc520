// SPDX-License-Identifier: MIT
/**
 * CLOCK_MONOTONIC and CLOCK_BOOTTIME count from the start of a machine. CRIU continues them in a time namespace; without one
 * they jump, by days on another machine or after a reboot, and everything that waits by them waits as long, or not at all.
 * @module
 */
import { existsSync } from 'node:fs';
import { readMonotonicSeconds } from '../criu/index.ts';
import { EnvironmentError } from '../errors.ts';
import { readOrigin } from '../kept/index.ts';
import { readBootId } from '../machine/index.ts';

/** What matters of this machine. */
export interface ClockFacts {
  hasTimeNamespaces: boolean;
  bootId: string;
  /** CLOCK_MONOTONIC, in seconds. */
  monotonicSeconds: number;
}

const ownFacts = (): ClockFacts => ({
  hasTimeNamespaces: existsSync('/proc/self/timens_offsets'),
  bootId: readBootId(),
  monotonicSeconds: Number(process.hrtime.bigint() / 1_000_000_000n),
});

/**
 * Checks that the program's clocks can be continued.
 * @param extraArgs criu's, among them perhaps `--unprivileged`, with which it makes no time namespace
 * @throws {@link EnvironmentError} they would jump
 */
export function checkClocks(imagesDir: string, extraArgs: readonly string[] = [], facts = ownFacts()): void {
  const isUnprivileged = extraArgs.includes('--unprivileged');
  if (facts.hasTimeNamespaces && !isUnprivileged) return;
  const bootId = readOrigin(imagesDir)?.bootId;
  const dumped = readMonotonicSeconds(imagesDir) ?? 0;
  const isSameStart = bootId === undefined ? dumped <= facts.monotonicSeconds : bootId === facts.bootId;
  if (isSameStart) return;
  throw new EnvironmentError(
    `the clocks of the checkpoint in ${imagesDir} cannot be continued: it is from another machine, or from before a reboot`,
    [
      isUnprivileged
        ? { what: 'a time namespace', remedy: 'restore as root, without --unprivileged' }
        : { what: 'time namespaces', remedy: 'restore on a kernel with CONFIG_TIME_NS, Linux 5.6 or later' },
    ],
  );
}
