// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import type { Io } from '../output.ts';
import { withProgress } from '../progress.ts';
import { currentSystem, planSetup, readSetupState, type SetupState } from '../setup/index.ts';
import { runContainersSetup, type ContainersFlags } from './setup-containers.ts';

interface SetupOptions {
  check?: boolean;
  quietIfReady?: boolean;
}

function stateText(state: SetupState): string {
  const { criu } = state.criu;
  return [
    ...(criu === undefined ? [] : [`CRIU ${criu.version ?? ''}: ${criu.path}`]),
    ...(state.missing.length === 0 ? ['everything needed is there'] : ['missing:']),
    ...state.missing.flatMap((item) => [`  ${item.what}`, `    ${item.remedy}`]),
  ].join('\n');
}

function report(io: Io, state: SetupState, done: readonly string[]): void {
  const { criu } = state.criu;
  io.result({ ready: state.missing.length === 0, criu: criu ?? null, missing: state.missing, done }, () =>
    stateText(state),
  );
}

async function runSetup(io: Io, options: SetupOptions): Promise<void> {
  const system = currentSystem(io.signal);
  const state = await readSetupState(system);
  if (options.check) {
    report(io, state, []);
    io.exitCode = state.missing.length === 0 ? 0 : 2;
    return;
  }
  if (state.missing.length === 0) {
    if (!options.quietIfReady || io.json) report(io, state, []);
    return;
  }
  const done: string[] = [];
  for (const step of planSetup(system, state)) {
    if (step.isDone) continue;
    await withProgress(io, step.name, (report) => step.run(report));
    done.push(step.name);
  }
  report(io, await readSetupState(system), done);
}

export function registerSetup(program: Command, io: Io): void {
  program
    .command('setup')
    .description('install what is missing: Debian packages, CRIU')
    .option('--check', 'only report what is missing (exit code 2 if something is)')
    .option('--quiet-if-ready', 'print nothing when nothing is missing')
    .option('--containers', 'prepare this machine for checkpointing containers')
    .option('--variant <name>', 'with --containers: variant of the plugin for plain podman')
    .option('--image-store <size>', 'with --containers: a tmpfs for images, such as 64G')
    .option('--no-huge-pages', 'with --containers: the tmpfs in small pages')
    .option('--write-env <file>', 'with --containers: settings for scripts, such as ./.env')
    .option('--dry-run', 'with --containers: only show the steps')
    .option('--undo', 'with --containers: take back what it did')
    .action((options: SetupOptions & ContainersFlags & { containers?: boolean }) =>
      options.containers === true ? runContainersSetup(io, options) : runSetup(io, options),
    );
}
