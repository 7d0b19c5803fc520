// SPDX-License-Identifier: MIT
/**
 * Output of commands. Library code never prints: commands get an {@link Io}, and nothing else writes to stdout or
 * stderr.
 * @module
 */
import stringWidth from 'fast-string-width';
import pc from 'picocolors';

/** The functions of picocolors that color a text. */
export type Colors = ReturnType<typeof pc.createColors>;

/** Replaces this process by a program. */
export type Become = (path: string, args: readonly string[]) => Promise<void>;

export interface Io {
  /** `--json`: one JSON document on stdout and nothing else, no progress. */
  readonly json: boolean;
  /** Stderr is a terminal, and `--json` was not given. */
  readonly interactive: boolean;
  /** Columns of the terminal, 80 without one or where it does not say. */
  readonly columns: number;
  readonly colors: Colors;
  /** Aborted by Ctrl-C, Ctrl-\, SIGTERM and SIGHUP; pass it to everything that may take long. */
  readonly signal: AbortSignal;
  /** Set by a command that forwards these signals to a program; they then neither abort nor end this one. */
  onStop: ((signal: NodeJS.Signals) => void) | undefined;
  /** Becomes another program; returns only if it cannot. `undefined` where this process is not only the command's. */
  readonly become: Become | undefined;
  /** Exit code of a command that returns normally; a thrown error has its own. @default 0 */
  exitCode: number;
  /** The operation was complete before a signal could stop it, so its exit code counts. @default false */
  isComplete: boolean;
  /**
   * Set by a command whose stdout a restored program writes to as well: in a file, each then writes at the end. @default
   * false
   */
  sharesStdout: boolean;
  /** One or more lines on stdout, as {@link withoutControls} shows them. */
  out(text: string): void;
  /** The same on stderr. */
  err(text: string): void;
  /** Text on stderr without a newline, for progress. */
  rawErr(text: string): void;
  /** The result of a command: the value with `--json`, otherwise the text. */
  result(value: unknown, text: () => string): void;
}

export interface OutputStream {
  /** As in Node's streams. */
  write: (text: string) => unknown;
  isTTY?: boolean | undefined;
}

export interface IoStreams {
  /** `append` writes at the end of a file, whatever others have written to it. */
  stdout: OutputStream & { append?: (text: string) => unknown };
  stderr: OutputStream & { columns?: number | undefined };
}

export interface IoOptions extends IoStreams {
  json: boolean;
  signal: AbortSignal;
  become?: Become | undefined;
  /** @default what picocolors detects */
  color?: boolean | undefined;
}

const withLineEnd = (text: string): string => (text.endsWith('\n') ? text : `${text}\n`);

/** Control characters, the numbers of a color behind them, and what turns the direction of text. */
const ACTIVE = /(\p{Cc})(\[\d{1,3}m)?|[\u202a-\u202e\u2066-\u2069]/gu;
const HIDDEN = /^\[0*8m$/;

const escaped = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Shows what a terminal would act on as JSON writes it: names of files and of other users' programs, and what a registry
 * says, may have any characters.
 * @param color keep those of {@link Io.colors}
 */
export const withoutControls = (text: string, color = false): string =>
  text.replaceAll(ACTIVE, (found: string, control: string | undefined, rest: string | undefined) => {
    if (control === '\n' || control === '\t') return found;
    if (color && control === '\u001b' && rest !== undefined && !HIDDEN.test(rest)) return found;
    return escaped(control ?? found) + (rest ?? '');
  });

/** Addresses and counters may be `bigint`; in JSON they are decimal strings. */
function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Creates the output of a command: text for people, or one JSON document. */
export function createIo(options: IoOptions): Io {
  const { stdout, stderr, json } = options;
  const color = options.color ?? (pc.isColorSupported && stdout.isTTY === true);
  const colors = pc.createColors(color && !json);
  const shown = (text: string): string => withLineEnd(withoutControls(text, colors.isColorSupported));
  const io: Io = {
    json,
    interactive: !json && stderr.isTTY === true,
    columns: stderr.columns === undefined || stderr.columns === 0 ? 80 : stderr.columns,
    colors,
    signal: options.signal,
    onStop: undefined,
    become: options.become,
    exitCode: 0,
    isComplete: false,
    sharesStdout: false,
    out: (text) => {
      if (io.sharesStdout && stdout.append) stdout.append(shown(text));
      else stdout.write(shown(text));
    },
    err: (text) => void stderr.write(shown(text)),
    rawErr: (text) => void stderr.write(text),
    result: (value, text) => {
      io.out(json ? JSON.stringify(value, jsonValue, 2) : text());
    },
  };
  return io;
}

export interface TableOptions {
  /** One per column. @default left */
  align?: readonly ('left' | 'right')[] | undefined;
}

const GAP = '  ';

/** Columns of text under a header; cells may have more than one line. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { align = [] }: TableOptions = {},
): string {
  const all = (head.length === 0 ? rows : [head, ...rows]).map((row) => row.map((cell) => cell.split('\n')));
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(0, ...all.flatMap((row) => (row[column] ?? []).map((text) => stringWidth(text)))),
  );
  const lineOf = (row: readonly string[][], line: number): string =>
    widths
      .map((width, column) => {
        const text = row[column]?.[line] ?? '';
        const space = ' '.repeat(width - stringWidth(text));
        return align[column] === 'right' ? space + text : text + space;
      })
      .join(GAP)
      .trimEnd();
  return all
    .flatMap((row) => {
      const height = Math.max(1, ...row.map((lines) => lines.length));
      return Array.from({ length: height }, (_, line) => lineOf(row, line));
    })
    .join('\n');
}

/** 1536 → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits)).toString()} ${units[unit] ?? ''}`;
}

/** The version of the driver's API as CUDA's own: 13010 is "13.1". */
export const formatCudaVersion = (version: number): string =>
  `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;

/** 83 → `83 ms`, 1234 → `1.23 s`, 95000 → `1 min 35 s`. */
export function formatDuration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
