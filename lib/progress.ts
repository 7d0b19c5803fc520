// SPDX-License-Identifier: MIT
/**
 * Progress of anything that may take over two seconds: a line on stderr that is drawn repeatedly while it is a
 * terminal; elsewhere, and with `--json`, nothing.
 * @module
 */
import type { Io } from './output.ts';
import { formatBytes, formatDuration, withoutControls } from './output.ts';

/** Bytes that are copied, and all of them as far as they are known. */
export interface ByteCount {
  /** Bytes that are copied. */
  doneBytes: number;
  /** All of them; an estimate that may grow; infinite where nothing tells. */
  totalBytes: number;
}

/** Reports what the running step is doing, in words or in bytes; the last report is shown. */
export type ProgressListener = (detail: string | ByteCount) => void;

/** Times that tests replace. */
export interface ProgressTiming {
  /** Milliseconds before anything is shown. @default 500 */
  showAfterMs?: number | undefined;
}

/** The rate is that of the last seconds: an operation has phases of different speed. */
const RATE_MS = 4000;

/** Puts byte counts into words: how much, how fast, how long it may take. */
export class ByteMeter {
  #counts: { atMs: number; doneBytes: number }[] = [];

  /** @param atMs time on any clock */
  text({ doneBytes, totalBytes }: ByteCount, atMs: number): string {
    this.#counts.push({ atMs, doneBytes });
    while ((this.#counts[1]?.atMs ?? atMs) <= atMs - RATE_MS) this.#counts.shift();
    const [first] = this.#counts;
    const perMs = first && atMs > first.atMs ? (doneBytes - first.doneBytes) / (atMs - first.atMs) : 0;
    if (totalBytes === Number.POSITIVE_INFINITY)
      return `${formatBytes(doneBytes)} so far${perMs <= 0 ? '' : `, ${formatBytes(perMs * 1000)}/s`}`;
    const amount = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
    if (perMs <= 0 || doneBytes >= totalBytes) return amount;
    const leftMs = Math.ceil((totalBytes - doneBytes) / perMs / 1000) * 1000;
    return `${amount}, ${formatBytes(perMs * 1000)}/s, about ${formatSeconds(leftMs)} left`;
  }
}

/** Whole seconds: a time that changes three times per second is not read. */
const formatSeconds = (ms: number): string => (ms < 60_000 ? `${ms / 1000} s` : formatDuration(ms));

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const LEAST_TITLE = 12;
const CLEAR_LINE = '\r\u001b[2K';

/** A title says more at its start, and is known; what changes behind it is to be seen. */
const shortened = (title: string, length: number): string =>
  title.length <= length ? title : `${title.slice(0, Math.max(LEAST_TITLE, length - 1))}…`;

interface View {
  update(detail: string | ByteCount): void;
  end(ok: boolean): void;
}

function spinnerView(io: Io, title: string, showAfterMs: number): View {
  const start = performance.now();
  const meter = new ByteMeter();
  let detail = '';
  let frame = 0;
  let shown = false;
  const draw = (): void => {
    const elapsed = performance.now() - start;
    if (elapsed < showAfterMs) return;
    shown = true;
    frame += 1;
    const columns = Math.max(20, io.columns - 1);
    const rest = `  ${Math.floor(elapsed / 1000)} s${detail ? `  ${detail}` : ''}`;
    const line = `${FRAMES[frame % FRAMES.length] ?? ''} ${shortened(title, columns - rest.length - 2)}${rest}`;
    io.rawErr(CLEAR_LINE + withoutControls(line).slice(0, columns));
  };
  const timer = setInterval(draw, FRAME_MS);
  timer.unref();
  return {
    update: (said) => {
      const text = typeof said === 'string' ? said : meter.text(said, performance.now());
      detail = text.replaceAll(/\s+/g, ' ').trim();
    },
    end: (ok) => {
      clearInterval(timer);
      if (!shown) return;
      const took = formatDuration(performance.now() - start);
      io.rawErr(CLEAR_LINE);
      io.err(`${ok ? io.colors.green('✔') : io.colors.red('✘')} ${title}  ${took}`);
    },
  };
}

/** The listener for bytes; `undefined` when nobody watches, so that nothing is counted. */
export function bytesFor(io: Io, report: ProgressListener): ((count: ByteCount) => void) | undefined {
  return io.interactive ? report : undefined;
}

/**
 * Runs one step and shows its progress. Short steps show nothing.
 * @returns what `run` returns; errors of `run` pass through
 */
export async function withProgress<T>(
  io: Io,
  title: string,
  run: (report: ProgressListener) => Promise<T>,
  timing: ProgressTiming = {},
): Promise<T> {
  if (!io.interactive) return run(() => undefined);
  const view = spinnerView(io, title, timing.showAfterMs ?? 500);
  let ok = false;
  try {
    const value = await run((detail) => {
      view.update(detail);
    });
    ok = true;
    return value;
  } finally {
    view.end(ok);
  }
}
