// SPDX-License-Identifier: MIT
/**
 * Typed errors of the toolkit. `code` is the contract, the text is not.
 * @module
 */

/** What the exit code of the CLI will be: 1 the operation failed, 2 wrong use or environment. */
export type ExitCode = 1 | 2;

export interface ToolkitErrorOptions {
  /** What the user can do about it, one sentence. */
  hint?: string | undefined;
  /** Exit code of the CLI. @default 1 */
  exitCode?: ExitCode | undefined;
  cause?: unknown;
}

/** Base of every error the toolkit throws on purpose. */
export class ToolkitError extends Error {
  /** `ERR_<AREA>_<WHAT>`, see docs/environment.md. */
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitCode: ExitCode;

  constructor(code: string, message: string, options: ToolkitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Wrong use of the CLI or the API: a bad option, a missing argument, a setting out of range. */
export class UsageError extends ToolkitError {
  constructor(message: string, hint?: string) {
    super('ERR_USAGE', message, { exitCode: 2, hint });
  }
}

/** Something this machine lacks. `missing` lists every part, each with its remedy. */
export class EnvironmentError extends ToolkitError {
  readonly missing: readonly { what: string; remedy: string }[];

  constructor(message: string, missing: readonly { what: string; remedy: string }[]) {
    super('ERR_ENVIRONMENT', message, {
      exitCode: 2,
      hint: missing.map((item) => `${item.what}: ${item.remedy}`).join('\n'),
    });
    this.missing = missing;
  }
}

/** Facts about a child process that failed. */
export interface CommandFacts {
  command: string;
  exitCode: number | undefined;
  signal: string | undefined;
  timedOut: boolean;
  /** Milliseconds from spawn to exit. */
  durationMs: number;
  /** The last lines it wrote to stderr (or stdout when stderr is empty). */
  tail: string;
}

/** A child process failed. */
export class CommandError extends ToolkitError {
  readonly facts: CommandFacts;

  constructor(code: string, message: string, facts: CommandFacts, options: ToolkitErrorOptions = {}) {
    super(code, message, options);
    this.facts = facts;
  }
}

/** One line for a person: message, cause and hint. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`;
}
