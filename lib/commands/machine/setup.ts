// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import { UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { planSetup, readSetupState, type SetupState } from '../../setup/index.ts';
import { currentSystem } from '../../machine/index.ts';
import { runContainersSetup, type ContainersFlags } from '../container/setup.ts';

const containersOnly: readonly (keyof ContainersFlags)[] = [
  'variant',
  'imageStore',
  'hugePages',
  'writeEnv',
  'dryRun',
  'undo',
];

interface SetupOptions {
  check?: boolean | undefined;
  quietIfReady?: boolean | undefined;
}

function stateText(state: SetupState): string {
  const { criu } = state.criu;
  return [
    ...(criu === undefined ? [] : [`CRIU ${criu.version ?? ''}: ${criu.path}`]),
    ...(state.missing.length === 0 ? ['nothing is missing'] : ['missing:']),
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

/** A dry run must not become a real one because `--containers` was forgotten. */
function checkFlags(command: Command): void {
  const isLost = (name: string): boolean =>
    containersOnly.some((one) => one === name) && command.getOptionValueSource(name) === 'cli';
  const lost = command.options.find((option) => isLost(option.attributeName()));
  if (lost) throw new UsageError(`${lost.long ?? lost.flags} needs --containers`);
}

export function defineSetup(command: Command, io: Io): void {
  const setup = command
    .addOption(
      new Option('--check', 'only report what is missing (exit code 2 if something is)').conflicts(
        'containers',
      ),
    )
    .addOption(
      new Option('--quiet-if-ready', 'print nothing when nothing is missing').conflicts('containers'),
    )
    .option('--containers', 'prepare this machine for checkpointing containers')
    .option('--variant <name>', 'with --containers: variant of the plugin for plain podman')
    .option('--image-store <size>', 'with --containers: mount a tmpfs of this size for images, such as 64G')
    .option('--no-huge-pages', 'with --containers: use no huge pages in the tmpfs')
    .option(
      '--write-env <file>',
      'with --containers: write settings for scripts to this file, such as ./.env',
    )
    .option('--dry-run', 'with --containers: only show the steps')
    .addOption(new Option('--undo', 'with --containers: undo what it did').conflicts('dryRun'))
    .action(async (options: SetupOptions & ContainersFlags & { containers?: boolean | undefined }) => {
      if (options.containers === true) return runContainersSetup(io, options);
      checkFlags(setup);
      return runSetup(io, options);
    });
}
