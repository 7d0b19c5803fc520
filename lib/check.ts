// SPDX-License-Identifier: MIT
/**
 * Checks arguments that callers of the library pass. JavaScript callers have no types, and a value that is missing by
 * mistake must not mean "all of them", "the current directory" or "at once".
 * @module
 */
import { UsageError } from './errors.ts';

/** The longest time Node's timers can wait: about 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** @throws {@link UsageError} for anything but a path; an empty one would mean the current directory */
export function checkPath(name: string, path: unknown): void {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return;
  throw new UsageError(`${name} is ${shown(path)}, not a path`);
}

/** @throws {@link UsageError} for a name that is missing, or that a program would read as an option */
export function checkName(name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && !value.startsWith('-')) return;
  throw new UsageError(`${name} is ${shown(value)}, not a name`);
}

/**
 * @throws {@link UsageError} for anything but a number of milliseconds from 0 to the longest time a timer can wait
 */
export function checkMilliseconds(name: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST_MS) return;
  throw new UsageError(`${name} is ${shown(value)}, not a number from 0 to ${LONGEST_MS}`);
}

/** @throws {@link UsageError} for anything but a whole number of at least `least` */
export function checkCount(name: string, value: unknown, least: number): void {
  if (Number.isSafeInteger(value) && Number(value) >= least) return;
  throw new UsageError(`${name} is ${shown(value)}, not a whole number of at least ${least}`);
}
