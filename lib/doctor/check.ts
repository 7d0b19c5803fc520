// SPDX-License-Identifier: MIT
/**
 * What a check of the doctor is, and what it looks at.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedSettings } from '../settings/index.ts';
import { CommandError } from '../errors.ts';
import type { ExecResult } from '../exec.ts';
import type { FoundCriu, System } from '../machine/index.ts';

/**
 * `ok`; `warning`: works, but worse than it could; `missing`: required and not there;
 * `broken`: there, and cannot be used.
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
  /** What there is, in words. */
  found: string;
  /** What to do about it; for everything that is not ok. */
  remedy?: string | undefined;
}

/** The machine the doctor looks at; tests make one in a folder. */
export interface Patient {
  system: System;
  /** Where `/proc`, `/sys`, `/etc` and `/dev` are read: `/`. */
  root: string;
  criu: FoundCriu;
  /** The settings, or why they cannot be read. */
  settings: LoadedSettings | Error;
  imagesDir: string | undefined;
}

/** One check or several of one subject. */
export type Examination = (patient: Patient) => MachineCheck[] | Promise<MachineCheck[]>;

/** A path of the machine. */
export function onMachine(patient: Patient, path: string): string {
  return join(patient.root, path);
}

/** A file's text without the last line end, or `undefined` when it cannot be read. */
export function readText(patient: Patient, path: string): string | undefined {
  try {
    return readFileSync(onMachine(patient, path), 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

/** Names in a folder; none when it cannot be read. */
export function listNames(patient: Patient, path: string): string[] {
  try {
    return readdirSync(onMachine(patient, path)).sort();
  } catch {
    return [];
  }
}

export function isThere(patient: Patient, path: string): boolean {
  return existsSync(onMachine(patient, path));
}

const ASK_TIMEOUT_MS = 10_000;

/** Asks a program; `undefined` when it is not there or gives no answer. */
export async function ask(
  patient: Patient,
  file: string,
  args: readonly string[],
): Promise<ExecResult | undefined> {
  try {
    return await patient.system.run(file, args, { timeoutMs: ASK_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
