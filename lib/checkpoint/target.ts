// SPDX-License-Identifier: MIT
import { checkPid, isAlive, readProcessTree, readStat } from '../process/index.ts';
import { CheckpointError } from './error.ts';

export function refuse(code: CheckpointError['code'], message: string, hint: string): never {
  throw new CheckpointError(code, message, { hint });
}

/**
 * Refuses a process that cannot be checkpointed.
 * @returns whether the root belongs to a session that is not dumped with it
 */
export function checkTarget(pid: number): boolean {
  checkPid(pid);
  const stat = readStat(pid);
  if (!stat || !isAlive(pid)) {
    const zombie = stat ? ': it has ended, and its parent has not collected it' : '';
    refuse('ERR_CHECKPOINT_NO_PROCESS', `there is no process ${pid}${zombie}`, 'see ps -e');
  }
  if (readProcessTree(pid).some((one) => one.pid === process.pid)) {
    refuse(
      'ERR_CHECKPOINT_OWN_TREE',
      `${pid} is this program or started it`,
      'start the checkpoint from another session',
    );
  }
  return stat.session !== pid;
}
