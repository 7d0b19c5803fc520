// SPDX-License-Identifier: MIT
/**
 * What a check of the doctor returns, and the machine that it checks.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedSettings } from '../settings/index.ts';
import { CommandError } from '../errors.ts';
import type { ExecResult } from '../exec.ts';
import type { FoundCriu, System } from '../machine/index.ts';

/**
 * `ok`; `warning`: works, but not as well as it could; `missing`: required, but not found; `broken`: found, but
 * unusable.
 */
export type CheckStatus = 'ok' | 'warning' | 'missing' | 'broken';

/** One thing that was looked at. */
export interface MachineCheck {
  /** Stable name, for programs. */
  id: string;
  /** What was looked at. */
  title: string;
  /** Whether it will do. */
  status: CheckStatus;
  /** What was found, in words. */
  found: string;
  /** What to do about it, for everything that is not `ok`. */
  remedy?: string | undefined;
}

/** The machine to check; tests create one in a directory. */
export interface Machine {
  system: System;
  /** Directory with `proc`, `sys`, `etc` and `dev`: `/`, except in tests. */
  root: string;
  criu: FoundCriu;
  /** The settings, or why they cannot be read. */
  settings: LoadedSettings | Error;
  imagesDir: string | undefined;
}

/** Runs the checks of one subject. */
export type CheckFunction = (machine: Machine) => MachineCheck[] | Promise<MachineCheck[]>;

/** A path relative to the root of the machine, as a path of this system. */
export function onMachine(machine: Machine, path: string): string {
  return join(machine.root, path);
}

/** A file's text without the trailing newline, or `undefined` if it cannot be read. */
export function readText(machine: Machine, path: string): string | undefined {
  try {
    return readFileSync(onMachine(machine, path), 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

/** Names in a directory; none if it cannot be read. */
export function listNames(machine: Machine, path: string): string[] {
  try {
    return readdirSync(onMachine(machine, path)).sort();
  } catch {
    return [];
  }
}

export function isThere(machine: Machine, path: string): boolean {
  return existsSync(onMachine(machine, path));
}

const ASK_TIMEOUT_MS = 10_000;

/** Runs a program; `undefined` if it is missing or does not answer. */
export async function ask(
  machine: Machine,
  file: string,
  args: readonly string[],
): Promise<ExecResult | undefined> {
  try {
    return await machine.system.run(file, args, { timeoutMs: ASK_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
