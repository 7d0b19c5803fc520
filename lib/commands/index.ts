// SPDX-License-Identifier: MIT
/**
 * Every command of the CLI, in the order `--help` shows them. A command is one
 * thin file: options, one call into the library, one result.
 * @module
 */
import type { Command } from 'commander';
import type { Io } from '../output.ts';
import { registerBench } from './bench/index.ts';
import { registerBuild } from './build.ts';
import { registerBundle } from './bundle.ts';
import { registerCdi } from './cdi.ts';
import { registerCheckpoint } from './checkpoint.ts';
import { registerConfig } from './config.ts';
import { registerContainer, registerPresets } from './container.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './doctor.ts';
import { registerGolden } from './golden.ts';
import { registerGpu } from './gpu.ts';
import { registerImage } from './image.ts';
import { registerInspect } from './inspect.ts';
import { registerInstall } from './install.ts';
import { registerPool } from './pool.ts';
import { registerProcess } from './process.ts';
import { registerRestore } from './restore.ts';
import { registerRollback } from './rollback.ts';
import { registerRun } from './run.ts';
import { registerSetup } from './setup.ts';
import { registerUninstall } from './uninstall.ts';
import { registerVariants } from './variants.ts';
import { registerWake } from './wake.ts';

/** Adds one command to the program. */
export type Register = (program: Command, io: Io) => void;

export const commands: readonly Register[] = [
  registerDoctor,
  registerSetup,
  registerConfig,
  registerBuild,
  registerBundle,
  registerVariants,
  registerInspect,
  registerInstall,
  registerUninstall,
  registerRollback,
  registerRun,
  registerCheckpoint,
  registerRestore,
  registerWake,
  registerGpu,
  registerProcess,
  registerImage,
  registerPool,
  registerContainer,
  registerGolden,
  registerCdi,
  registerPresets,
  registerBench,
  registerDemo,
];
