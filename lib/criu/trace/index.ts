// SPDX-License-Identifier: MIT
/**
 * A timeline of one checkpoint or restore, as a file that Perfetto and Chrome open: the command, CRIU's stages, the hooks
 * of the plugin, the driver's calls, and what the pool did, on one clock.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { monotonicMs } from '../../clock.ts';
import { describeError, UsageError } from '../../errors.ts';
import { logOf, type CriuResult, type CriuRun } from '../run-criu.ts';
import type { Timeline } from '../status/timeline.ts';
import { readLogTimes, type LogTimes } from './criu-log.ts';
import { TraceEvents, type TraceDocument } from './events.ts';

/** Where the timeline of an operation is written. */
export interface TraceOptions {
  /** The file; one that exists is replaced. */
  file: string;
  /** When the program was started, in milliseconds of the monotonic clock. @default it is not shown */
  programStartMs?: number | undefined;
}

/** Times around one run of criu, in milliseconds of the monotonic clock. */
export interface RunTimes {
  /** The library was called. */
  calledMs: number;
  programStartMs?: number | undefined;
  /** The end: everything that reports has ended. */
  endedMs: number;
  /** The run; `undefined` if criu was not started. */
  criu?: Pick<CriuResult, 'criuPid' | 'startedMs' | 'durationMs' | 'status'> | undefined;
}

const ownTrack = { pid: process.pid, name: 'command' };

function addCommand(events: TraceEvents, stage: string, times: RunTimes): void {
  const { calledMs, programStartMs, endedMs, criu } = times;
  const startMs = programStartMs ?? calledMs;
  events.process(process.pid, 'criu-cuda');
  events.span(ownTrack, stage, startMs, endedMs - startMs);
  if (programStartMs !== undefined)
    events.span(ownTrack, 'start of the program', programStartMs, calledMs - programStartMs);
  if (!criu) return;
  const criuEndMs = criu.startedMs + criu.durationMs;
  events.span(ownTrack, 'preparation', calledMs, criu.startedMs - calledMs);
  events.span(ownTrack, 'criu', criu.startedMs, criu.durationMs);
  events.span(ownTrack, 'after criu', criuEndMs, endedMs - criuEndMs);
}

function addLog(events: TraceEvents, criuPid: number, startedMs: number, log: LogTimes): void {
  const originMs = log.originMs ?? startedMs;
  events.process(criuPid, 'criu');
  for (const { pid, startMs, endMs, stages } of log.writers) {
    const track = { pid: criuPid, name: pid === undefined ? 'criu' : `restores ${pid}` };
    events.span(track, track.name, originMs + startMs, endMs - startMs);
    for (const stage of stages) events.span(track, stage.name, originMs + stage.startMs, stage.durationMs);
  }
}

/** The hooks are in criu, as many as there are processes; the rest is shown for each process. */
function addStatus(
  events: TraceEvents,
  criuPid: number,
  { spans, threads }: Timeline,
  nameOf: (pid: number) => string,
): void {
  for (const { pid, part, name, startMs, durationMs } of spans) {
    if (part === 'hook') {
      const isOfAll = pid === criuPid;
      events.span({ pid: criuPid, name: 'plugin' }, isOfAll ? name : `${name} ${pid}`, startMs, durationMs);
      continue;
    }
    events.process(pid, nameOf(pid));
    events.span({ pid, name: part }, name, startMs, durationMs);
  }
  for (const { pid, number, startMs, durationMs, sliceMs, hostMs, deviceMs } of threads) {
    const name = `pool thread ${number}, %`;
    const percent = (ms = 0): number => Math.round((100 * ms) / sliceMs);
    hostMs.forEach((ms, index) => {
      const values = { host: percent(ms), device: percent(deviceMs[index]) };
      events.counter(pid, name, startMs + index * sliceMs, values);
    });
    events.counter(pid, name, startMs + durationMs, { host: 0, device: 0 });
  }
}

/** What {@link Trace} writes. */
export function traceDocument(stage: 'checkpoint' | 'restore', times: RunTimes, log: string): TraceDocument {
  const { criu } = times;
  const events = new TraceEvents(times.programStartMs ?? times.calledMs);
  addCommand(events, stage, times);
  if (!criu) return events.document();
  const { criuPid, startedMs, status } = criu;
  const names = new Map(status?.processes.map(({ pid, name }) => [pid, name]));
  addLog(events, criuPid, startedMs, readLogTimes(log));
  if (status) addStatus(events, criuPid, status.timeline, (pid) => `${names.get(pid) ?? 'process'} (${pid})`);
  return events.document();
}

const readLog = (run: CriuRun): string => {
  try {
    return readFileSync(logOf(run), 'utf8');
  } catch {
    return ''; // criu has failed before it had one
  }
};

/** Writes the timeline of one operation. */
export class Trace {
  readonly #file: string;
  readonly #times: Omit<RunTimes, 'endedMs'>;
  readonly #stage: 'checkpoint' | 'restore';
  #log = '';

  /** @throws {@link UsageError} the file cannot be written */
  constructor(stage: 'checkpoint' | 'restore', options: string | TraceOptions) {
    const { file, programStartMs } = typeof options === 'string' ? { file: options } : options;
    this.#file = resolve(file);
    this.#stage = stage;
    this.#times = { calledMs: monotonicMs(), programStartMs };
    this.#write('');
  }

  /** Notes what a run of criu has left. */
  add(run: CriuRun, result: CriuResult): void {
    this.#log = readLog(run);
    this.#times.criu = result;
  }

  /** Writes the file, also about an operation that has failed. */
  end(): void {
    const document = traceDocument(this.#stage, { ...this.#times, endedMs: monotonicMs() }, this.#log);
    this.#write(`${JSON.stringify(document)}\n`);
  }

  #write(contents: string): void {
    try {
      writeFileSync(this.#file, contents);
    } catch (error) {
      throw new UsageError(`cannot write the trace: ${describeError(error)}`, 'name another file');
    }
  }
}

/**
 * Runs an operation with its trace, if one is wanted.
 * @param warningsOf the list that is told that the trace of an operation that has succeeded could not be written, as on a full disk
 * @throws what the operation throws; {@link UsageError} the file cannot be written, and nothing was begun
 */
export async function withTrace<T>(
  stage: 'checkpoint' | 'restore',
  options: string | TraceOptions | undefined,
  operate: (trace: Trace | undefined) => Promise<T>,
  warningsOf: (result: T) => string[],
): Promise<T> {
  if (options === undefined) return operate(undefined);
  const trace = new Trace(stage, options);
  const end = (): string[] => {
    try {
      trace.end();
      return [];
    } catch (error) {
      return [describeError(error)];
    }
  };
  const result = await operate(trace).catch((error: unknown) => {
    end();
    throw error;
  });
  warningsOf(result).push(...end());
  return result;
}
