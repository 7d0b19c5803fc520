// SPDX-License-Identifier: MIT
// Most tests of dumps and restores wait for one process at a time, so in CI two of them run at once. Half of the tests run
// in namespaces of their own: other pids (a restore needs those of its image, which nobody may take meanwhile), other
// ports, and an own /dev/shm and /run. vitest.config.ts says which.
import { spawnSync } from 'node:child_process';
import { isExplained } from './unsteady.mjs';

const NAMESPACES = ['--mount', '--net', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'];

/** The shell stays, because the first process of a pid namespace has to collect orphans. */
const START = `
ip link set lo up
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
"$@"
exit`;

/** The command in namespaces of its own. */
export const apart = (file, args) => ['unshare', [...NAMESPACES, 'sh', '-euc', START, 'sh', file, ...args]];

/** Whether this user may create them here. */
export function canRunApart() {
  const [file, args] = apart('true', []);
  return spawnSync(file, args, { stdio: 'ignore' }).status === 0;
}

/**
 * The run that several runs are together. One that ended without saying why has failed, whatever the others say.
 * @param runs { name, status, files }, files as in scripts/unsteady.mjs
 */
export function together(runs) {
  const unexplained = runs
    .filter(({ status, files }) => !isExplained(status, files))
    .map(({ name }) => ({
      file: name,
      passed: 0,
      skipped: [],
      failures: [{ name, message: 'did not finish' }],
      isCertain: true,
    }));
  const files = [...runs.flatMap((run) => run.files), ...unexplained];
  return { status: Math.max(...runs.map(({ status }) => status)), files };
}
