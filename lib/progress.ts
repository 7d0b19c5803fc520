// SPDX-License-Identifier: MIT
/**
 * Progress of anything that may take over two seconds, on stderr: a spinner
 * line on a terminal, plain lines elsewhere, nothing with `--json`.
 * @module
 */
import type { Io } from './output.ts';
import { formatDuration } from './output.ts';

/** Reports what the running step is doing; the last text is shown. */
export type ProgressListener = (detail: string) => void;

/** Times that tests replace. */
export interface ProgressTiming {
  /** Milliseconds before anything is shown. @default 500 on a terminal, 1500 elsewhere */
  showAfterMs?: number | undefined;
  /** Milliseconds between two plain "still running" lines. @default 10_000 */
  repeatMs?: number | undefined;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const CLEAR_LINE = '\r\u001b[2K';

interface View {
  update(detail: string): void;
  end(ok: boolean): void;
}

function spinnerView(io: Io, title: string, showAfterMs: number): View {
  const start = performance.now();
  let detail = '';
  let frame = 0;
  let shown = false;
  const draw = (): void => {
    const elapsed = performance.now() - start;
    if (elapsed < showAfterMs) return;
    shown = true;
    frame += 1;
    const seconds = `${Math.floor(elapsed / 1000)} s`;
    const line = `${FRAMES[frame % FRAMES.length] ?? ''} ${title}  ${seconds}${detail ? `  ${detail}` : ''}`;
    io.rawErr(CLEAR_LINE + line.slice(0, Math.max(20, io.columns - 1)));
  };
  const timer = setInterval(draw, FRAME_MS);
  timer.unref();
  return {
    update: (text) => {
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

function plainView(io: Io, title: string, showAfterMs: number, repeatMs: number): View {
  const start = performance.now();
  let detail = '';
  let shown = false;
  let timer: NodeJS.Timeout | undefined;
  const tick = (): void => {
    const seconds = Math.round((performance.now() - start) / 1000);
    io.err(shown ? `${title}: ${seconds} s${detail ? `, ${detail}` : ''}` : `${title} …`);
    shown = true;
    timer = setTimeout(tick, repeatMs).unref();
  };
  timer = setTimeout(tick, showAfterMs).unref();
  return {
    update: (text) => {
      detail = text.replaceAll(/\s+/g, ' ').trim().slice(0, 120);
    },
    end: (ok) => {
      clearTimeout(timer);
      if (shown)
        io.err(`${title}: ${ok ? 'done' : 'failed'} in ${formatDuration(performance.now() - start)}`);
    },
  };
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
  if (io.json) return run(() => undefined);
  const view = io.interactive
    ? spinnerView(io, title, timing.showAfterMs ?? 500)
    : plainView(io, title, timing.showAfterMs ?? 1500, timing.repeatMs ?? 10_000);
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
