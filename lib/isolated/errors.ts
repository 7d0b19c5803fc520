// SPDX-License-Identifier: MIT
/** Errors on their way out of the namespaces, as JSON. @module */
import {
  CodedError,
  describeError,
  EnvironmentError,
  InterruptedError,
  ToolkitError,
  UsageError,
  type Missing,
} from '../errors.ts';
import { KeptFilesError } from '../kept/index.ts';

/** An error as it is sent. */
export interface SentError {
  /** Name of its class. */
  name: string;
  code: string;
  message: string;
  hint?: string | undefined;
  /** What else its class has. */
  fields: Record<string, unknown>;
}

/** Makes an error of one class again. */
export type Reviver = (sent: SentError) => Error;

/** An error for the other side. */
export function sendError(error: unknown): SentError {
  if (!(error instanceof ToolkitError))
    return { name: 'Error', code: 'ERR_INTERNAL', message: describeError(error), fields: {} };
  const { name, code, hint } = error;
  const fields = Object.entries(error).filter(([key]) => !['name', 'code', 'hint'].includes(key));
  return { name, code, message: describeError(error), hint, fields: Object.fromEntries(fields) };
}

const known: Readonly<Record<string, Reviver>> = {
  KeptFilesError: ({ message, hint }) => new KeptFilesError(message, { hint }),
  EnvironmentError: ({ message, fields }) =>
    new EnvironmentError(message, (fields.missing ?? []) as Missing[]),
  UsageError: ({ message, hint }) => new UsageError(message, hint),
  InterruptedError: ({ message, hint }) => new InterruptedError('ERR_INTERRUPTED', message, { hint }),
};

/** An error from inside the namespaces of an isolated copy, of a class that only the other side knows. */
export class IsolatedError extends CodedError<string> {}

/** The error of the other side. @param revivers for the classes that only the caller knows */
export function reviveError(sent: SentError, revivers: Readonly<Record<string, Reviver>>): Error {
  const revive = revivers[sent.name] ?? known[sent.name];
  const { code, message, hint, fields } = sent;
  return Object.assign(revive?.(sent) ?? new IsolatedError(code, message, { hint }), fields);
}
