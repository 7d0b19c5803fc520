// SPDX-License-Identifier: MIT
/**
 * Checks of what a caller of the library passes. A JavaScript program has no types, and a value that is missing by
 * mistake must not come to mean "all of them", "the current directory" or "at once".
 * @module
 */
import { UsageError } from './errors.ts';

/** The longest time Node's timers can wait: about 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** @throws {@link UsageError} for anything but a path: an empty one would be the current directory */
export function checkPath(name: string, path: unknown): void {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return;
  throw new UsageError(`${name} is ${shown(path)}, not a path`);
}

/** @throws {@link UsageError} for a name that is missing, or that a program would take for an option */
export function checkName(name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && !value.startsWith('-')) return;
  throw new UsageError(`${name} is ${shown(value)}, not a name`);
}

/** @throws {@link UsageError} for a time that is not a number from 0 on, or longer than a timer can wait */
export function checkMilliseconds(name: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST_MS) return;
  throw new UsageError(`${name} is ${shown(value)}, not a number from 0 to ${LONGEST_MS}`);
}

/** @throws {@link UsageError} for anything but a whole number from `least` on */
export function checkCount(name: string, value: unknown, least: number): void {
  if (Number.isSafeInteger(value) && Number(value) >= least) return;
  throw new UsageError(`${name} is ${shown(value)}, not a whole number from ${least} on`);
}
