// SPDX-License-Identifier: MIT
/**
 * Typed errors of the toolkit. `code` is part of the API, the text is not. Each code belongs to one class;
 * docs/environment.md lists them.
 * @module
 */
import { reasonOf } from './errno.ts';

/** What an error may carry besides its code and message. */
export interface ToolkitErrorOptions {
  /** What the user can do about it, in one sentence. */
  hint?: string | undefined;
  /** The error that caused this one. */
  cause?: unknown;
}

/** Base of every error the toolkit throws on purpose. */
export abstract class ToolkitError extends Error {
  /** `ERR_<AREA>_<WHAT>`, see docs/environment.md. */
  readonly code: string;
  /** What the user can do about it. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: ToolkitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** Base of the concrete classes. Each names its codes, and no other class uses them. */
export abstract class CodedError<Code extends string> extends ToolkitError {
  declare readonly code: Code;

  constructor(code: Code, message: string, options: ToolkitErrorOptions = {}) {
    super(code, message, options);
  }
}

/** Wrong use of the CLI or the API: a bad option or a missing argument. */
export class UsageError extends CodedError<'ERR_USAGE'> {
  constructor(message: string, hint?: string) {
    super('ERR_USAGE', message, { hint });
  }
}

/** One thing this machine lacks, and how to get it. */
export interface Missing {
  /** A package, program, library or file. */
  what: string;
  /** A command to run, or what to do. */
  remedy: string;
}

/** What to do about it. The only thing that is missing is not named again when the message names it. */
function remedies(message: string, missing: readonly Missing[]): string {
  const [only] = missing;
  if (only && missing.length === 1 && message.includes(only.what)) return only.remedy;
  return [...groupByRemedy(missing)]
    .map(([remedy, items]) => `${items.map(({ what }) => what).join(', ')}: ${remedy}`)
    .join('\n');
}

/** Something this machine lacks. */
export class EnvironmentError extends CodedError<'ERR_ENVIRONMENT'> {
  /** What is missing, each with its remedy. */
  readonly missing: readonly Missing[];

  constructor(message: string, missing: readonly Missing[]) {
    super('ERR_ENVIRONMENT', message, { hint: remedies(message, missing) });
    this.missing = missing;
  }
}

/** The operation was interrupted by a signal to this program, or aborted by its caller. */
export class InterruptedError extends CodedError<'ERR_INTERRUPTED'> {}

/** Facts about a child process that failed. */
export interface CommandFacts {
  /** The program and its arguments. */
  command: string;
  /** `undefined` when it was killed by a signal. */
  exitCode: number | undefined;
  /** The signal that killed it, such as `SIGKILL`. */
  signal: string | undefined;
  /** It did not finish within its timeout. */
  timedOut: boolean;
  /** Milliseconds from spawn to exit. */
  durationMs: number;
  /** The last lines it wrote to stderr (or stdout when stderr is empty). */
  tail: string;
}

/**
 * A child process could not be run, timed out or was killed by a signal (`ERR_COMMAND_RUN`), or exited with an error
 * (`ERR_COMMAND_FAILED`).
 */
export class CommandError extends CodedError<'ERR_COMMAND_RUN' | 'ERR_COMMAND_FAILED'> {
  /** About the process. */
  readonly facts: CommandFacts;

  constructor(
    code: CommandError['code'],
    message: string,
    facts: CommandFacts,
    options: ToolkitErrorOptions = {},
  ) {
    super(code, message, options);
    this.facts = facts;
  }
}

/** Whether a message has what its cause says: all of it, or why a system call failed, in words or as `ENOENT`. */
function saysCause(message: string, cause: Error): boolean {
  if (message.includes(cause.message)) return true;
  return 'code' in cause && [String(cause.code), reasonOf(cause)].some((one) => message.includes(one));
}

/** The message of an error and the message of its cause, for people. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof Error && !saysCause(message, cause) ? `${message} (${cause.message})` : message;
}

/** Things with the same remedy, so that it is said once. */
export function groupByRemedy<T extends { remedy: string }>(all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(one.remedy, [...(groups.get(one.remedy) ?? []), one]);
  return groups;
}
