// SPDX-License-Identifier: MIT
/**
 * The only place that starts short-lived child processes. Every child leads its own process group, has a timeout, and
 * is killed with its group when the caller aborts or this process ends.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { isMainThread } from 'node:worker_threads';
import { InterruptedError, CommandError, ToolkitError } from './errors.ts';

/** How a program is run. */
export interface ExecOptions {
  /** Its working directory. @default the caller's */
  cwd?: string | undefined;
  /** Added to the environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined> | undefined;
  /** Milliseconds. @default 60_000 */
  timeoutMs?: number | undefined;
  /** Ends it with its process group. */
  signal?: AbortSignal | undefined;
  /**
   * Called when the time is over or the caller aborts: how long the child may take to end by itself before it is ended.
   * Milliseconds. @default 0
   */
  gracePeriod?: (() => number) | undefined;
  /** What it reads from stdin. */
  input?: string | undefined;
  /** `inherit` gives the child the caller's own stdin, such as a terminal. @default ignore, or `input` */
  stdin?: 'inherit' | undefined;
  /** Open descriptors that the child gets as 3, 4, and so on. @default none */
  descriptors?: readonly number[] | undefined;
  /** Called with the child's pid as soon as it exists. */
  onSpawn?: ((pid: number) => void) | undefined;
  /** Called with each line of stdout and stderr as it arrives. */
  onLine?: ((line: string) => void) | undefined;
  /** An exit code of 0 counts even if the caller aborted or the time was over just before. @default false */
  keepSuccess?: boolean | undefined;
  /** `false` leaves the child in the caller's session and group, with its terminal. @default true */
  ownGroup?: boolean | undefined;
  /**
   * `false` sends the first signal, SIGTERM, to the child alone; its group is only killed, later. For a child whose
   * own children must not get it. @default true
   */
  asksGroup?: boolean | undefined;
  /** Its file mode creation mask. @default the caller's, which is always taken in a worker thread */
  umask?: number | undefined;
}

/** What a program did. */
export interface ExecResult {
  /** All of it, without the last line end. */
  stdout: string;
  /** All of it, without the last line end. */
  stderr: string;
  /** As the program returned it. */
  exitCode: number;
  /** Milliseconds. */
  durationMs: number;
}

const TAIL_LINES = 12;
const KILL_AFTER_MS = 5000;

/** What one output of a child may have. Characters. */
const MAX_OUTPUT = 100_000_000;

/** How long a child's output may be held open by others after its end. Milliseconds. */
const OUTPUT_MS = 2000;

/** Process groups to kill if this process ends before they do. */
const liveGroups = new Set<number>();
process.once('exit', () => {
  for (const group of liveGroups) killGroup(group, 'SIGKILL');
});

/** Last lines of a text, for error messages. */
export function tailOf(text: string, lines = TAIL_LINES): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

function killGroup(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch {
    // already gone
  }
}

/** Kills a child at its timeout, when the caller aborts, or when it writes too much. */
class Deadline {
  timedOut = false;
  aborted = false;
  tooLong = false;
  private readonly target: number | undefined;
  private readonly asked: number | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly gracePeriod: () => number;
  private readonly timer: NodeJS.Timeout;
  private graceTimer: NodeJS.Timeout | undefined;
  private killTimer: NodeJS.Timeout | undefined;

  /** @param asked gets SIGTERM; `target` is killed when it does not end */
  constructor(
    asked: number | undefined,
    target: number | undefined,
    { timeoutMs = 60_000, signal, gracePeriod = () => 0 }: ExecOptions,
  ) {
    this.asked = asked;
    this.target = target;
    this.signal = signal;
    this.gracePeriod = gracePeriod;
    this.timer = setTimeout(() => {
      this.timedOut = true;
      this.giveUp();
    }, timeoutMs);
    signal?.addEventListener('abort', this.onAbort);
  }

  private readonly onAbort = (): void => {
    this.aborted = true;
    this.giveUp();
  };

  stopTooLong(): void {
    this.tooLong = true;
    this.stop();
  }

  private giveUp(): void {
    if (this.graceTimer) return;
    const graceMs = this.gracePeriod();
    if (graceMs === 0) this.stop();
    else
      this.graceTimer = setTimeout(() => {
        this.stop();
      }, graceMs);
  }

  private stop(): void {
    const { asked, target } = this;
    if (asked === undefined || target === undefined) return;
    killGroup(asked, 'SIGTERM');
    this.killTimer ??= setTimeout(() => {
      killGroup(target, 'SIGKILL');
    }, KILL_AFTER_MS);
  }

  end(): void {
    clearTimeout(this.timer);
    clearTimeout(this.graceTimer);
    clearTimeout(this.killTimer);
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}

/** Collects one output of a child: all of it, and each line as it arrives. */
function collect(
  stream: Readable | null,
  onLine: ((line: string) => void) | undefined,
  onFull: () => void,
): () => string {
  let text = '';
  let lineStart = 0;
  stream?.setEncoding('utf8').on('data', (part: string) => {
    if (text.length > MAX_OUTPUT) return;
    text += part;
    if (text.length > MAX_OUTPUT) onFull();
    if (!onLine) return;
    for (let end = text.indexOf('\n', lineStart); end !== -1; end = text.indexOf('\n', lineStart)) {
      onLine(text.slice(lineStart, end).replace(/\r$/, ''));
      lineStart = end + 1;
    }
  });
  // that a child is killed while it writes is said elsewhere
  stream
    ?.on('error', () => undefined)
    .once('end', () => {
      if (onLine && lineStart < text.length) onLine(text.slice(lineStart));
    });
  return () => text.replace(/\r?\n$/, '');
}

/** Node has one mask for the process, which a child takes over when it is made; worker threads may not change it. */
function withUmask<T>(umask: number | undefined, act: () => T): T {
  if (umask === undefined || !isMainThread) return act();
  const before = process.umask(umask);
  try {
    return act();
  } finally {
    process.umask(before);
  }
}

function start(file: string, args: readonly string[], options: ExecOptions): ChildProcess {
  const { cwd, env, input, stdin } = options;
  const child = withUmask(options.umask, () =>
    spawn(file, args, {
      cwd,
      stdio: [
        stdin ?? (input === undefined ? 'ignore' : 'pipe'),
        'pipe',
        'pipe',
        ...(options.descriptors ?? []),
      ],
      detached: options.ownGroup ?? true,
      env: { ...process.env, ...env },
    }),
  );
  // a program may end without reading its input
  child.stdin?.on('error', () => undefined).end(input);
  return child;
}

interface Ending {
  exitCode: number | undefined;
  signal: string | undefined;
  error: Error | undefined;
}

/** Waits for the end of a child and of its output. What it leaves behind may have its output, too: that is not waited for. */
function ending(child: ChildProcess): Promise<Ending> {
  child.once('exit', () => {
    setTimeout(() => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, OUTPUT_MS).unref();
  });
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ exitCode: undefined, signal: undefined, error });
    });
    child.once('close', (code, signal) => {
      resolve({ exitCode: code ?? undefined, signal: signal ?? undefined, error: undefined });
    });
  });
}

interface Run extends Ending {
  command: string;
  stdout: string;
  stderr: string;
  durationMs: number;
}

function runFailure(file: string, run: Run, deadline: Deadline, reason: unknown): Error {
  if (deadline.aborted) {
    if (reason instanceof ToolkitError) return reason;
    return new InterruptedError('ERR_INTERRUPTED', `${file} was interrupted`, { cause: reason });
  }
  const message = deadline.timedOut
    ? `${file} did not finish in ${run.durationMs.toFixed(0)} ms`
    : deadline.tooLong
      ? `${file} was killed: it wrote more than ${MAX_OUTPUT} characters`
      : run.signal === undefined
        ? `cannot run ${file}: ${run.error?.message ?? 'unknown reason'}`
        : `${file} was killed by ${run.signal}`;
  return new CommandError(
    'ERR_COMMAND_RUN',
    message,
    {
      command: run.command,
      exitCode: run.exitCode,
      signal: run.signal,
      timedOut: deadline.timedOut,
      durationMs: run.durationMs,
      tail: tailOf(run.stderr || run.stdout),
    },
    { cause: run.error },
  );
}

/** Starts a child; one that cannot be started because of its arguments fails like one whose program is missing. */
function tryStart(file: string, args: readonly string[], options: ExecOptions): ChildProcess {
  try {
    return start(file, args, options);
  } catch (error) {
    const command = [file, ...args].join(' ');
    const facts = {
      command,
      exitCode: undefined,
      signal: undefined,
      timedOut: false,
      durationMs: 0,
      tail: '',
    };
    const message = `cannot run ${file}: ${error instanceof Error ? error.message : String(error)}`;
    throw new CommandError('ERR_COMMAND_RUN', message, facts, { cause: error });
  }
}

/**
 * Runs a command until it exits; a non-zero exit code is returned, not thrown.
 * @throws {@link CommandError} when it cannot be run, times out or is killed by a signal; the reason of `signal` when
 * the caller aborts it
 */
export async function execResult(
  file: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  options.signal?.throwIfAborted();
  const begin = performance.now();
  const child = tryStart(file, args, options);
  const { pid } = child;
  if (pid !== undefined) options.onSpawn?.(pid);
  const ownGroup = options.ownGroup ?? true;
  const target = pid === undefined ? undefined : ownGroup ? -pid : pid;
  if (target !== undefined) liveGroups.add(target);
  const asked = options.asksGroup === false ? pid : target;
  const deadline = new Deadline(asked, target, options);
  const onFull = (): void => {
    deadline.stopTooLong();
  };
  const stdout = collect(child.stdout, options.onLine, onFull);
  const stderr = collect(child.stderr, options.onLine, onFull);
  try {
    const ended = await ending(child);
    const run: Run = {
      ...ended,
      command: [file, ...args].join(' '),
      stdout: stdout(),
      stderr: stderr(),
      durationMs: performance.now() - begin,
    };
    const isStopped = deadline.timedOut || deadline.aborted || deadline.tooLong;
    const counts = !isStopped || (options.keepSuccess === true && run.exitCode === 0);
    if (run.exitCode === undefined || !counts) {
      throw runFailure(file, run, deadline, options.signal?.reason);
    }
    return { stdout: run.stdout, stderr: run.stderr, exitCode: run.exitCode, durationMs: run.durationMs };
  } finally {
    deadline.end();
    if (target !== undefined) liveGroups.delete(target);
  }
}

/** Runs a command. @throws {@link CommandError} for any failure, with the last lines of the output */
export async function exec(
  file: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const result = await execResult(file, args, options);
  if (result.exitCode === 0) return result;
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
