// SPDX-License-Identifier: MIT
/**
 * Runs all checks and reports the results. Nothing is changed, and CUDA is not initialized.
 * @module
 */
import { loadSettings, type LoadedSettings } from '../settings/index.ts';
import { ToolkitError } from '../errors.ts';
import { currentSystem, findCriu, type System } from '../machine/index.ts';
import type { MachineCheck, CheckFunction, Machine } from './check.ts';
import { checkContainers } from './containers.ts';
import { checkCriu } from './criu.ts';
import { checkEngines } from './engines.ts';
import { checkGpu } from './gpu.ts';
import { checkHugePages, checkKernel, checkRights } from './kernel.ts';
import { checkPlugins } from './plugins.ts';
import { checkImageStore, checkRunDir, checkSettings } from './storage.ts';

const checkFunctions: readonly CheckFunction[] = [
  checkKernel,
  checkRights,
  checkCriu,
  checkGpu,
  checkPlugins,
  checkSettings,
  checkRunDir,
  checkHugePages,
  checkImageStore,
  checkContainers,
  checkEngines,
];

/** What is looked at. */
export interface CheckMachineOptions {
  /** Directory for images, to be checked as well. */
  imagesDir?: string | undefined;
  /** @default this machine */
  system?: System | undefined;
  /** Directory that has the machine's files. @default / */
  root?: string | undefined;
}

/** What was found. */
export interface MachineReport {
  /** False when something required is missing or broken. */
  ready: boolean;
  /** In a fixed order. */
  checks: MachineCheck[];
}

function readSettings(system: System): LoadedSettings | Error {
  try {
    return loadSettings(system.env);
  } catch (error) {
    if (error instanceof ToolkitError) return error;
    throw error;
  }
}

/** Checks everything that a checkpoint needs. */
export async function checkMachine(options: CheckMachineOptions = {}): Promise<MachineReport> {
  const system = options.system ?? currentSystem();
  const machine: Machine = {
    system,
    root: options.root ?? '/',
    criu: await findCriu(system),
    settings: readSettings(system),
    imagesDir: options.imagesDir,
  };
  const results = await Promise.all(checkFunctions.map(async (check) => check(machine)));
  const checks = results.flat();
  return { ready: checks.every(({ status }) => status === 'ok' || status === 'warning'), checks };
}
