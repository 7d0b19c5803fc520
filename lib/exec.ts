// SPDX-License-Identifier: MIT
/**
 * The only place that starts short-lived child processes. Every child has a
 * timeout and is killed with its group when the caller gives up.
 * @module
 */
import { execa } from 'execa';
import { CommandError } from './errors.ts';

export interface ExecOptions {
  cwd?: string;
  /** Added to the environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  /** Milliseconds. @default 60_000 */
  timeoutMs?: number;
  signal?: AbortSignal;
  input?: string;
  /** Called with each line of stdout and stderr as it arrives. */
  onLine?: (line: string) => void;
}

export interface ExecResult {
  stdout: string;
  stderr: string;
  exitCode: number;
  /** Milliseconds. */
  durationMs: number;
}

const TAIL_LINES = 12;

/** Last lines of a text, for error messages. */
export function tailOf(text: string, lines = TAIL_LINES): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/** Runs a command to its end; a non-zero exit is returned, not thrown. Throws {@link CommandError} when it cannot be run, times out or dies by a signal. */
export async function execResult(
  file: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const child = execa(file, args, {
    reject: false,
    timeout: options.timeoutMs ?? 60_000,
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  const { onLine } = options;
  const reading: Promise<void>[] = [];
  if (onLine) {
    for (const from of ['stdout', 'stderr'] as const) {
      reading.push(
        (async () => {
          for await (const line of child.iterable({ from })) onLine(line);
        })().catch(() => undefined), // the failure itself is reported by the result below
      );
    }
  }
  const result = await child;
  await Promise.all(reading);
  if (result.exitCode === undefined) {
    throw new CommandError(
      'ERR_COMMAND_RUN',
      result.timedOut
        ? `${file} did not finish in ${result.durationMs.toFixed(0)} ms`
        : `${file} could not be run: ${result.originalMessage ?? result.signal ?? 'unknown reason'}`,
      {
        command: result.command,
        exitCode: undefined,
        signal: result.signal,
        timedOut: result.timedOut,
        durationMs: result.durationMs,
        tail: tailOf(result.stderr || result.stdout),
      },
      { cause: result.cause },
    );
  }
  return {
    stdout: result.stdout,
    stderr: result.stderr,
    exitCode: result.exitCode,
    durationMs: result.durationMs,
  };
}

/** Runs a command; any failure throws {@link CommandError} with the last lines of its output. */
export async function exec(
  file: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const result = await execResult(file, args, options);
  if (result.exitCode !== 0) {
    const tail = tailOf(result.stderr || result.stdout);
    throw new CommandError(
      'ERR_COMMAND_FAILED',
      `${file} ${args.join(' ')} exited with ${result.exitCode}${tail ? `:\n${tail}` : ''}`,
      {
        command: [file, ...args].join(' '),
        exitCode: result.exitCode,
        signal: undefined,
        timedOut: false,
        durationMs: result.durationMs,
        tail,
      },
    );
  }
  return result;
}
