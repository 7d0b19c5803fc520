// SPDX-License-Identifier: MIT
/**
 * When CRIU did what, from its log: it writes the time of each line, from its own start. Messages differ between
 * versions, so a stage is what came between two lines of one process, and has the name of the first.
 * @module
 */

/** What CRIU did between two lines of its log. */
export interface LogStage {
  /** The message before. */
  name: string;
  startMs: number;
  durationMs: number;
}

/** One process of CRIU, or one that it restores. */
export interface LogWriter {
  /** Its pid as CRIU writes it, in its own PID namespace; `undefined`: criu itself. */
  pid: number | undefined;
  /** Times of its first and last line, in milliseconds. */
  startMs: number;
  endMs: number;
  /** What took at least {@link SHORTEST_MS}, in order. */
  stages: LogStage[];
}

/** The times in a log. */
export interface LogTimes {
  writers: LogWriter[];
  /**
   * The time of the monotonic clock at which the log begins, in milliseconds; `undefined` if the plugin has not written it.
   */
  originMs: number | undefined;
}

/** Shorter ones are hidden, because there are hundreds of lines. Milliseconds. */
export const SHORTEST_MS = 0.5;

const LINE = /^\((\d+\.\d+)\)\s*(?:pie: )?(?:(\d+): )?\s*(.*)$/;
const CLOCK = /^cuda_plugin: monotonic clock: (\d+\.\d+) ms$/;

/** Reads the times of a log of CRIU. */
export function readLogTimes(log: string): LogTimes {
  const writers = new Map<number | undefined, LogWriter>();
  const latest = new Map<LogWriter, string>();
  let originMs: number | undefined;
  for (const line of log.split('\n')) {
    const [, seconds, words, message] = LINE.exec(line) ?? [];
    if (seconds === undefined || message === undefined) continue;
    const ms = Number(seconds) * 1000;
    const clock = CLOCK.exec(message)?.[1];
    if (clock !== undefined) originMs ??= Number(clock) - ms;
    const pid = words === undefined ? undefined : Number(words);
    const writer = writers.get(pid) ?? { pid, startMs: ms, endMs: ms, stages: [] };
    writers.set(pid, writer);
    const durationMs = ms - writer.endMs;
    if (durationMs >= SHORTEST_MS)
      writer.stages.push({ name: latest.get(writer) ?? '', startMs: writer.endMs, durationMs });
    writer.endMs = Math.max(writer.endMs, ms);
    latest.set(writer, message);
  }
  return { writers: [...writers.values()], originMs };
}
