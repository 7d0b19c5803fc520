// SPDX-License-Identifier: MIT
/**
 * Every command of the CLI, in the order `--help` shows them. A command is one small file: options, one call to the
 * library, one result.
 * @module
 */
import type { Command } from 'commander';
import type { Io } from '../output.ts';
import { registerBench } from './bench/index.ts';
import { registerBuild } from './plugin/build.ts';
import { registerBundle } from './plugin/bundle.ts';
import { registerCheck } from './process/check.ts';
import { registerCdi } from './container/cdi.ts';
import { registerCheckpoint } from './process/checkpoint.ts';
import { registerContext } from './context.ts';
import { registerConfig } from './machine/config.ts';
import { registerContainer, registerPresets } from './container/container.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './machine/doctor.ts';
import { registerGolden } from './container/golden.ts';
import { registerGpu } from './machine/gpu.ts';
import { registerImage } from './image.ts';
import { registerInspect } from './plugin/inspect.ts';
import { registerInstall } from './plugin/install.ts';
import { registerPool } from './pool.ts';
import { registerProcess } from './process/process.ts';
import { registerRestore } from './process/restore.ts';
import { registerRollback } from './plugin/rollback.ts';
import { registerRun } from './process/run.ts';
import { registerSelftest } from './selftest.ts';
import { registerSetup } from './machine/setup.ts';
import { registerStop } from './process/stop.ts';
import { registerUninstall } from './plugin/uninstall.ts';
import { registerVariants } from './plugin/variants.ts';
import { registerWake } from './process/wake.ts';

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
  registerCheck,
  registerCheckpoint,
  registerRestore,
  registerWake,
  registerStop,
  registerGpu,
  registerProcess,
  registerContext,
  registerImage,
  registerPool,
  registerContainer,
  registerGolden,
  registerCdi,
  registerPresets,
  registerBench,
  registerDemo,
  registerSelftest,
];
