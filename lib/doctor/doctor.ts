// SPDX-License-Identifier: MIT
/**
 * All examinations, one report. Nothing is changed and CUDA is not initialised.
 * @module
 */
import { loadSettings, type LoadedSettings } from '../settings/index.ts';
import { ToolkitError } from '../errors.ts';
import { currentSystem, findCriu, type System } from '../machine/index.ts';
import type { MachineCheck, Examination, Patient } from './check.ts';
import { examineContainers } from './containers.ts';
import { examineCriu } from './criu.ts';
import { examineGpu } from './gpu.ts';
import { examineHugePages, examineKernel, examineRights } from './kernel.ts';
import { examinePlugins } from './plugins.ts';
import { examineImageStore, examineRunDir, examineSettings } from './storage.ts';

const examinations: readonly Examination[] = [
  examineKernel,
  examineRights,
  examineCriu,
  examineGpu,
  examinePlugins,
  examineSettings,
  examineRunDir,
  examineHugePages,
  examineImageStore,
  examineContainers,
];

/** What is looked at. */
export interface CheckMachineOptions {
  /** Where images are to be written. */
  imagesDir?: string | undefined;
  /** @default this machine */
  system?: System | undefined;
  /** Where the machine's files are read. @default / */
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

/** Looks at everything a checkpoint needs. */
export async function checkMachine(options: CheckMachineOptions = {}): Promise<MachineReport> {
  const system = options.system ?? currentSystem();
  const patient: Patient = {
    system,
    root: options.root ?? '/',
    criu: await findCriu(system),
    settings: readSettings(system),
    imagesDir: options.imagesDir,
  };
  const results = await Promise.all(examinations.map(async (examination) => examination(patient)));
  const checks = results.flat();
  return { ready: checks.every(({ status }) => status === 'ok' || status === 'warning'), checks };
}
