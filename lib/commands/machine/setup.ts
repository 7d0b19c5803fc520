// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { groupByRemedy, UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { planSetup, readSetupState, type SetupState } from '../../setup/index.ts';
import { currentSystem } from '../../machine/index.ts';
import { containersOptions, type ContainersFlags } from '../container/setup-options.ts';

interface SetupOptions {
  check?: boolean | undefined;
  quietIfReady?: boolean | undefined;
}

function stateText(state: SetupState): string {
  const { criu } = state.criu;
  return [
    ...(criu === undefined ? [] : [`CRIU ${criu.version ?? ''}: ${criu.path}`]),
    ...(state.missing.length === 0 ? ['nothing is missing'] : ['missing:']),
    ...[...groupByRemedy(state.missing)].flatMap(([remedy, items]) => [
      ...items.map(({ what }) => `  ${what}`),
      `    ${remedy}`,
    ]),
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
  const only = containersOptions();
  command
    .addOption(
      new Option('--check', 'only report what is missing (exit code 2 if something is)').conflicts(
        'containers',
      ),
    )
    .addOption(
      new Option('--quiet-if-ready', 'print nothing when nothing is missing').conflicts('containers'),
    )
    .addOption(new Option('--containers', 'container setup').hideHelp())
    .action(async (options: SetupOptions & ContainersFlags & { containers?: boolean | undefined }) => {
      if (options.containers === true) return runContainers(io, options);
      checkFlags(command, only);
      return runSetup(io, options);
    });
  for (const option of only) command.addOption(option.hideHelp());
  addExamples(command, 'criu-cuda setup --check', 'criu-cuda setup');
}
