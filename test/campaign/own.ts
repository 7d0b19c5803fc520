// SPDX-License-Identifier: MIT
/** What CRIU loses by itself. `npm run campaign -- --baseline`, with criu alone, shows each of these kinds. */
import type { Fault, Outcome, Plan } from './types.ts';
import { stageOf } from './types.ts';

/** The end of a dump's log when CRIU was putting its parasite into a thread, running it there, or taking it out. */
const INJECTING = [
  /Parasite syscall_ip at/,
  /Set up parasite blob/,
  /Putting (?:parasite blob|tsock)/,
  /going to execute the syscall \d+, required is 15/,
  /Dumping core for thread/,
  /Dumping GP\/FPU registers/,
  /^\(\d+\.\d+\) \d+ has \d+ sched policy/m,
];
/** After them CRIU writes no more lines, or these. */
const LAST_LINES = 5;

const kills = (fault: Fault, ...targets: string[]): boolean =>
  fault.kind === 'signal' && fault.signal === 'SIGKILL' && targets.includes(fault.target);

const stops = (fault: Fault): boolean =>
  fault.kind === 'signal' && fault.signal === 'SIGSTOP' && ['program', 'task'].includes(fault.target);

const endsCriu = (fault: Fault): boolean =>
  (fault.kind === 'memory' && fault.target === 'criu') ||
  (fault.kind === 'signal' &&
    fault.signal !== 'SIGSTOP' &&
    ['criu', 'caller', 'criu+watcher'].includes(fault.target));

/** CRIU's logs of a dump and of a restore, empty where there was none. */
export interface Logs {
  dump: string;
  restore: string;
}

/** Whether a restore has come so far that the plugin works in the tasks. */
const hasLateStage = (log: string): boolean => log.includes('Run late stage hook');

/**
 * @returns why a bad outcome is CRIU's own; `undefined` if it is not
 */
export function criusOwn({ fault, operation }: Plan, outcome: Outcome, logs: Logs): string | undefined {
  const stage = stageOf(operation);
  if (outcome === 'stuck' && stage === 'restore' && kills(fault, 'program', 'task'))
    return 'CRIU waits without limit for a task that was killed while it restored it';
  if (outcome === 'stuck' && stage === 'restore' && stops(fault) && !hasLateStage(logs.restore))
    return 'CRIU waits without limit for a task that was stopped after CRIU had attached to it';
  const end = logs.dump.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
  if (
    outcome !== 'leftover' &&
    stage === 'dump' &&
    endsCriu(fault) &&
    INJECTING.some((line) => line.test(end))
  )
    return 'criu ended while CRIU had changed the registers and the signal mask of a thread for its parasite';
  return undefined;
}
