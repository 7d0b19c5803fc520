// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { groupByRemedy, UsageError, type Missing } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import {
  planSetup,
  readLauncher,
  readSetupState,
  type Launcher,
  type SetupState,
} from '../../setup/index.ts';
import { currentSystem, type System } from '../../machine/index.ts';
import { containersOptions, type ContainersFlags } from '../container/setup-options.ts';
import { ensureLauncher, undoLauncher } from './setup-launcher.ts';

interface SetupOptions {
  check?: boolean | undefined;
  quietIfReady?: boolean | undefined;
  undo?: boolean | undefined;
}

/** What setup found and did. */
interface Outcome {
  state: SetupState;
  launcher: Launcher | undefined;
  done: readonly string[];
}

const missingOf = ({ state, launcher }: Outcome): Missing[] => [
  ...state.missing,
  ...(launcher?.missing === undefined ? [] : [launcher.missing]),
];

function outcomeText(outcome: Outcome): string {
  const { criu } = outcome.state.criu;
  const missing = missingOf(outcome);
  return [
    ...(criu === undefined ? [] : [`CRIU ${criu.version ?? ''}: ${criu.path}`]),
    ...(outcome.launcher?.state === 'done' ? [`criu-cuda: ${outcome.launcher.path}`] : []),
    ...(missing.length === 0 ? ['nothing is missing'] : ['missing:']),
    ...[...groupByRemedy(missing)].flatMap(([remedy, items]) => [
      ...items.map(({ what }) => `  ${what}`),
      `    ${remedy}`,
    ]),
  ].join('\n');
}

function report(io: Io, outcome: Outcome): void {
  const { state, launcher, done } = outcome;
  const missing = missingOf(outcome);
  const ready = missing.length === 0;
  io.result({ ready, criu: state.criu.criu ?? null, launcher: launcher?.path ?? null, missing, done }, () =>
    outcomeText(outcome),
  );
  if (!ready) io.exitCode = 2;
}

async function runSteps(io: Io, system: System, state: SetupState): Promise<string[]> {
  const done: string[] = [];
  for (const step of planSetup(system, state)) {
    if (step.isDone) continue;
    await withProgress(io, step.name, (report) => step.run(report));
    done.push(step.name);
  }
  return done;
}

async function runSetup(io: Io, { check = false, quietIfReady = false }: SetupOptions): Promise<void> {
  const system = currentSystem(io.signal);
  const state = await readSetupState(system);
  if (check) {
    report(io, { state, launcher: readLauncher(system), done: [] });
    return;
  }
  const done = state.missing.length === 0 ? [] : await runSteps(io, system, state);
  const launcher = ensureLauncher(io, system, done, !quietIfReady);
  const outcome = { state: done.length === 0 ? state : await readSetupState(system), launcher, done };
  if (!quietIfReady || io.json) {
    report(io, outcome);
    return;
  }
  // a demo and the tests run without the launcher
  if (done.length > 0) report(io, { ...outcome, launcher: undefined });
  if (launcher?.missing !== undefined) io.err(`${launcher.missing.what}: ${launcher.missing.remedy}`);
}

/** A dry run must not become a real one because `--containers` was forgotten. */
function checkFlags(command: Command, only: readonly Option[]): void {
  const lost = only.find((option) => command.getOptionValueSource(option.attributeName()) === 'cli');
  if (lost) throw new UsageError(`${lost.long ?? ''} is an option of container setup`, CONTAINERS_HINT);
}

const CONTAINERS_HINT = 'see criu-cuda container setup --help';

/** `setup --containers`, the old name of `container setup`. */
async function runContainers(io: Io, flags: ContainersFlags): Promise<void> {
  if (!io.json) io.err('setup --containers is now criu-cuda container setup; this form still works');
  const { runContainersSetup } = await import('../container/setup.ts');
  await runContainersSetup(io, flags);
}

export function defineSetup(command: Command, io: Io): void {
  const only = containersOptions().filter((option) => option.attributeName() !== 'undo');
  command
    .addOption(
      new Option('--check', 'only report what is missing (exit code 2 if something is)').conflicts(
        'containers',
      ),
    )
    .addOption(
      new Option('--quiet-if-ready', 'print nothing when nothing is missing').conflicts('containers'),
    )
    .addOption(
      new Option('--undo', 'remove criu-cuda from PATH; packages and CRIU stay').conflicts([
        'check',
        'dryRun',
        'quietIfReady',
      ]),
    )
    .addOption(new Option('--containers', 'container setup').hideHelp())
    .action(async (options: SetupOptions & ContainersFlags & { containers?: boolean | undefined }) => {
      if (options.containers === true) return runContainers(io, options);
      checkFlags(command, only);
      if (options.undo === true) {
        undoLauncher(io);
        return undefined;
      }
      return runSetup(io, options);
    });
  for (const option of only) command.addOption(option.hideHelp());
  addExamples(command, 'criu-cuda setup --check', 'criu-cuda setup');
}
