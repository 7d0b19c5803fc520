// SPDX-License-Identifier: MIT
/**
 * The only place that starts short-lived child processes. Every child leads its own process group, has a timeout, and
 * is killed with its group when the caller aborts or this process ends.
 * @module
 */
import { execa } from 'execa';
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
  /** What it reads from stdin. */
  input?: string | undefined;
  /** `inherit` gives the child the caller's own stdin, such as a terminal. @default ignore, or `input` */
  stdin?: 'inherit' | undefined;
  /** Called with the child's pid as soon as it exists. */
  onSpawn?: ((pid: number) => void) | undefined;
  /** Called with each line of stdout and stderr as it arrives. */
  onLine?: ((line: string) => void) | undefined;
  /** An exit code of 0 counts even if the caller aborted or the time was over just before. @default false */
  keepSuccess?: boolean | undefined;
  /** `false` leaves the child in the caller's session and group, with its terminal. @default true */
  ownGroup?: boolean | undefined;
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

/** Kills a child at its timeout or when the caller aborts. */
class Deadline {
  timedOut = false;
  aborted = false;
  private readonly target: number | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly timer: NodeJS.Timeout;
  private killTimer: NodeJS.Timeout | undefined;

  constructor(target: number | undefined, timeoutMs: number, signal: AbortSignal | undefined) {
    this.target = target;
    this.signal = signal;
    this.timer = setTimeout(() => {
      this.timedOut = true;
      this.stop();
    }, timeoutMs);
    signal?.addEventListener('abort', this.onAbort);
  }

  private readonly onAbort = (): void => {
    this.aborted = true;
    this.stop();
  };

  private stop(): void {
    const { target } = this;
    if (target === undefined) return;
    killGroup(target, 'SIGTERM');
    this.killTimer ??= setTimeout(() => {
      killGroup(target, 'SIGKILL');
    }, KILL_AFTER_MS);
  }

  end(): void {
    clearTimeout(this.timer);
    clearTimeout(this.killTimer);
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}

function spawn(file: string, args: readonly string[], options: ExecOptions) {
  return execa(file, args, {
    reject: false,
    stdin: options.stdin ?? (options.input === undefined ? 'ignore' : 'pipe'),
    detached: options.ownGroup ?? true,
    // execa does not accept undefined
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
}

/** What a child leaves behind may have its output, like criu's probes; it is not waited for. */
function closeOutputAfterExit(child: ReturnType<typeof spawn>): void {
  child.once('exit', () => {
    setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, OUTPUT_MS).unref();
  });
}

async function readLines(child: ReturnType<typeof spawn>, onLine: (line: string) => void): Promise<void> {
  const streams = (['stdout', 'stderr'] as const).map(async (from) => {
    for await (const line of child.iterable({ from })) onLine(line);
  });
  // the child's result reports a failure
  await Promise.allSettled(streams);
}

function runFailure(
  file: string,
  result: Awaited<ReturnType<typeof spawn>>,
  deadline: Deadline,
  reason: unknown,
): Error {
  if (deadline.aborted) {
    if (reason instanceof ToolkitError) return reason;
    return new InterruptedError('ERR_INTERRUPTED', `${file} was interrupted`, { cause: reason });
  }
  const message = deadline.timedOut
    ? `${file} did not finish in ${result.durationMs.toFixed(0)} ms`
    : result.signal === undefined
      ? `cannot run ${file}: ${result.originalMessage ?? 'unknown reason'}`
      : `${file} was killed by ${result.signal}`;
  return new CommandError(
    'ERR_COMMAND_RUN',
    message,
    {
      command: result.command,
      exitCode: result.exitCode,
      signal: result.signal,
      timedOut: deadline.timedOut,
      durationMs: result.durationMs,
      tail: tailOf(result.stderr || result.stdout),
    },
    { cause: result.cause },
  );
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
  const child = spawn(file, args, options);
  closeOutputAfterExit(child);
  if (child.pid !== undefined) options.onSpawn?.(child.pid);
  const ownGroup = options.ownGroup ?? true;
  const target = child.pid === undefined ? undefined : ownGroup ? -child.pid : child.pid;
  if (target !== undefined) liveGroups.add(target);
  const deadline = new Deadline(target, options.timeoutMs ?? 60_000, options.signal);
  try {
    const reading = options.onLine ? readLines(child, options.onLine) : undefined;
    const result = await child;
    await reading;
    const isStopped = deadline.timedOut || deadline.aborted;
    const counts = !isStopped || (options.keepSuccess === true && result.exitCode === 0);
    if (result.exitCode === undefined || !counts) {
      throw runFailure(file, result, deadline, options.signal?.reason);
    }
    const { stdout, stderr, exitCode, durationMs } = result;
    return { stdout, stderr, exitCode, durationMs };
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
