// SPDX-License-Identifier: MIT
/**
 * One look at a process: its name, its state in the driver and the interceptor's service thread. The addon does all of
 * it off the event loop (native/probe.cc); the same in JavaScript is here, for machines without it.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import {
  nativeBackend,
  type BackendName,
  type OpenedDriver,
  type Probe,
  type ProbeHints,
} from '../native/index.ts';
import { readStat, readThreadState } from '../process/index.ts';
import { driverLibrary, openError } from './library.ts';

type DriverCalls = OpenedDriver['calls'];

/** Names of the interceptor's service thread, as plugins-cuda/common/protocol/protocol.h has them. */
export const serviceComm = { open: 'criu-cuda-svc', closed: 'criu-cuda-gated' } as const;

function threadName(pid: number, tid: number): string {
  try {
    return readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trimEnd();
  } catch {
    return ''; // the thread has ended
  }
}

const isService = (comm: string): boolean => comm === serviceComm.open || comm === serviceComm.closed;

function findService(pid: number): number {
  try {
    const tids = readdirSync(`/proc/${pid}/task`).map(Number);
    return tids.find((tid) => isService(threadName(pid, tid))) ?? 0;
  } catch {
    return 0; // the process has ended
  }
}

/** The driver waits without limit for a restore thread that is stopped: it is not asked then. */
async function askDriver(
  calls: DriverCalls,
  pid: number,
  knownTid: number,
): Promise<Pick<Probe, 'restoreTid' | 'result' | 'state'>> {
  let restoreTid = knownTid;
  let thread = restoreTid === 0 ? undefined : readThreadState(pid, restoreTid);
  if (thread === undefined) {
    const answer = await calls.restoreThreadId(pid);
    if (answer.result !== 0) return { restoreTid: 0, result: answer.result, state: -1 };
    restoreTid = answer.value;
    thread = readThreadState(pid, restoreTid);
  }
  if (thread === 'T' || thread === 't') return { restoreTid, result: 0, state: -1 };
  const { result, value } = await calls.state(pid);
  return { restoreTid, result, state: result === 0 ? value : -1 };
}

/** What the addon's `probe` does. @returns `null` when there is no such process */
export async function probeInJavaScript(
  calls: DriverCalls,
  pid: number,
  hints: ProbeHints,
): Promise<Probe | null> {
  const process = readStat(pid);
  if (!process) return null;
  const { comm, state: mainState, startTime } = process;
  const isKnown = startTime === hints.startTime;
  const asked = await askDriver(calls, pid, isKnown ? hints.restoreTid : 0);
  let serviceTid = isKnown ? hints.serviceTid : 0;
  if (asked.result === 0 && serviceTid >= 0 && !isService(threadName(pid, serviceTid))) {
    serviceTid = findService(pid);
  }
  const isGated = serviceTid > 0 && threadName(pid, serviceTid) === serviceComm.closed;
  return { startTime, comm, mainState, ...asked, serviceTid, isGated };
}

/** Looks at one process. */
export type Prober = (pid: number, hints: ProbeHints) => Promise<Probe | null>;

/** Opens the driver as `openDriver` does, and throws as it does. */
export async function openProber(
  path: string | undefined,
  backend: BackendName | undefined,
): Promise<Prober> {
  const library = await driverLibrary(path);
  const native = nativeBackend(backend);
  try {
    const { calls } = await native.openDriver(library);
    return calls.probe ?? ((pid, hints) => probeInJavaScript(calls, pid, hints));
  } catch (error) {
    throw openError(error, library, path);
  }
}
