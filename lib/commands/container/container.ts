// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import {
  checkpointContainer,
  createContainer,
  listPresets,
  partText,
  podmanCriuFlags,
  presetNames,
  removeContainer,
  restoreContainer,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
} from '../../container/index.ts';
import { formatBytes, formatDuration, table, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { addCriuFlags, phaseTable } from '../operation-options.ts';

type CreateFlags = Omit<ContainerCreateOptions, 'name' | 'image' | 'command' | 'podmanArgs'> & {
  podmanArg?: string[] | undefined;
};
type CheckpointFlags = Omit<ContainerCheckpointOptions, 'name' | 'exportTo'> & {
  export?: string | undefined;
};
type RestoreFlags = Omit<ContainerRestoreOptions, 'importFrom'> & { import?: string | undefined };

const tasksText = (count: number): string => (count === 0 ? 'no CUDA process' : `CUDA processes: ${count}`);

export function containerCheckpointText(result: ContainerCheckpointResult): string {
  const { name, imagesDir, exportedTo, bytes, tasks, phases, durationMs, isRunning } = result;
  return [
    `checkpoint of ${name} in ${exportedTo ?? imagesDir ?? ''}: ${formatBytes(bytes)}, ${tasksText(tasks.length)}`,
    phaseTable(phases, durationMs),
    isRunning ? 'it is running' : 'it has ended',
  ].join('\n');
}

export function containerRestoreText(result: ContainerRestoreResult): string {
  const { name, pid, tasks, phases, durationMs, memoryMs } = result;
  return [
    `${name} runs again: pid ${pid}, ${tasksText(tasks.length)}`,
    phaseTable(phases, durationMs),
    `GPU memory was back after ${formatDuration(memoryMs)}`,
  ].join('\n');
}

async function create(
  io: Io,
  name: string,
  image: string,
  command: string[],
  { podmanArg, ...flags }: CreateFlags,
): Promise<void> {
  const container = await withProgress(io, `starting ${name}`, () =>
    createContainer({
      ...flags,
      name,
      image,
      command,
      signal: io.signal,
      podmanArgs: podmanArg,
    }),
  );
  io.result(container, () => `${container.name} runs: pid ${container.pid}`);
}

/** Options of both operations. */
function addPluginOptions(command: Command): Command {
  return command
    .option('--variant <name>', 'variant of the plugin (default: the one it was created for)')
    .option('--libdir <dir>', 'directory of the plugin');
}

function addOperation(command: Command): Command {
  addPluginOptions(command)
    .option('--criu <program>', 'another criu')
    .option('--ignore-rootfs', 'without the files that the container changed (tar file)')
    .option('--ignore-volumes', 'without its volumes (tar file)');
  return addCriuFlags(command, podmanCriuFlags);
}

function registerCreate(container: Command, io: Io): void {
  const command = container
    .command('create')
    .description('start a container that can be checkpointed with its GPU memory')
    .argument('<name>')
    .argument('<image>')
    .argument('[command...]', 'after --: program and arguments in the container')
    .addOption(new Option('--preset <name>', 'see criu-cuda presets').choices(presetNames).default('plain'))
    .addOption(
      new Option('--gpu <access>', 'how GPUs get in (default: cdi where there is a GPU)').choices([
        'cdi',
        'devices',
        'none',
      ]),
    )
    .option(
      '--store <dir>',
      'where its images go; it is mounted in it, so that host memory can be mapped from page files',
    )
    .option('--podman-arg <word...>', 'more for podman run, such as --podman-arg=--env=A=b');
  addPluginOptions(command).action((name: string, image: string, words: string[], flags: CreateFlags) =>
    create(io, name, image, words, flags),
  );
}

function registerCheckpoint(container: Command, io: Io): void {
  const command = container
    .command('checkpoint')
    .description('checkpoint a running container, in place or into a tar file')
    .argument('<name>')
    .option('--leave-running', 'the container goes on')
    .option('--export <file>', 'into a tar file, GPU images included')
    .addOption(
      new Option('--compress <how>', 'the tar file').choices(['none', 'gzip', 'zstd']).default('none'),
    )
    .option('--store <dir>', 'where the images go, such as a huge-page tmpfs');
  addOperation(command).action(async (name: string, flags: CheckpointFlags) => {
    const { export: exportTo, ...rest } = flags;
    const result = await withProgress(io, `checkpoint of ${name}`, () =>
      checkpointContainer({
        ...rest,
        name,
        signal: io.signal,
        exportTo,
      }),
    );
    io.result(result, () => containerCheckpointText(result));
  });
}

function registerRestore(container: Command, io: Io): void {
  const command = container
    .command('restore')
    .description('restore a container in place, or a new one from a tar file')
    .argument('[name]')
    .option('--import <file>', 'tar file of a checkpoint; [name] is what the new container is called')
    .option('--keep', 'the images stay, for another restore')
    .option('--ignore-static-ip', 'another IP address than before')
    .option('--ignore-static-mac', 'another MAC address than before');
  addOperation(command).action(async (name: string | undefined, flags: RestoreFlags) => {
    const { import: importFrom, ...rest } = flags;
    const result = await withProgress(io, `restore of ${name ?? importFrom ?? ''}`, () =>
      restoreContainer({
        ...rest,
        signal: io.signal,
        name,
        importFrom,
      }),
    );
    io.result(result, () => containerRestoreText(result));
  });
}

export function registerContainer(program: Command, io: Io): void {
  const container = program
    .command('container')
    .description('containers of podman: create, checkpoint, restore');
  registerCreate(container, io);
  registerCheckpoint(container, io);
  registerRestore(container, io);
  container
    .command('remove')
    .description('remove a container, running or not, and its images')
    .argument('<name>')
    .action(async (name: string) => {
      const removed = await removeContainer(name);
      io.result({ removed: removed?.id ?? null }, () =>
        removed ? `${name} is removed` : `there is no container ${name}`,
      );
    });
}

export function registerPresets(program: Command, io: Io): void {
  program
    .command('presets')
    .description('how to start common servers, and what each part saves and costs')
    .action(() => {
      const presets = listPresets();
      io.result(presets, () =>
        presets
          .map(({ name, use, parts }) => {
            const rows = parts.map((part) => [`  ${partText(part)}`, part.saves, part.costs]);
            const head = ['  what', 'saves', 'costs'];
            return `${io.colors.bold(name)}: ${use}${rows.length === 0 ? '' : `\n${table(head, rows)}`}`;
          })
          .join('\n\n'),
      );
    });
}
