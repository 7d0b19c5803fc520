// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import {
  checkpointContainer,
  createContainer,
  listPresets,
  partText,
  podmanCriuFlags,
  presetNames,
  pruneContainers,
  removeContainer,
  restoreContainer,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
} from '../../container/index.ts';
import { formatBytes, formatDuration, table, type Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { addCriuFlags, phaseTable, pluginText, showWarnings } from '../operation-options.ts';
import { addContainersSetup, type ContainersFlags } from './setup-options.ts';

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
    pluginText(result),
    isRunning ? 'it is running' : 'it has ended',
  ].join('\n');
}

export function containerRestoreText(result: ContainerRestoreResult): string {
  const { name, pid, tasks, phases, durationMs, memoryMs } = result;
  return [
    `${name} is running again: pid ${pid}, ${tasksText(tasks.length)}`,
    phaseTable(phases, durationMs),
    pluginText(result),
    `GPU memory was restored after ${formatDuration(memoryMs)}`,
  ].join('\n');
}

async function create(
  io: Io,
  name: string,
  image: string,
  command: string[],
  { podmanArg, ...flags }: CreateFlags,
): Promise<void> {
  const container = await withProgress(io, `starting ${name}`, (report) =>
    createContainer({
      ...flags,
      onTransfer: bytesFor(io, report),
      name,
      image,
      command,
      signal: io.signal,
      podmanArgs: podmanArg,
    }),
  );
  const { withoutInterceptor } = container;
  if (withoutInterceptor !== undefined) {
    io.err(`${name} runs without the interceptor: ${withoutInterceptor}; the driver moves all device memory`);
  }
  io.result(container, () =>
    container.isRunning
      ? `${container.name} is running: pid ${container.pid}`
      : `${container.name} has ended at once with exit code 0: there is nothing to checkpoint`,
  );
}

/** Options that choose the plugin. */
function addPluginOptions(command: Command): Command {
  return command
    .option(
      '--variant <name>',
      'variant of the plugin (default: the one it was created for, or one that can do it)',
    )
    .option('--libdir <dir>', 'directory of the plugin');
}

function addOperation(command: Command): Command {
  addPluginOptions(command)
    .option('--criu <program>', 'path of the criu program')
    .option('--ignore-rootfs', 'leave files that the container changed out of the tar file')
    .option('--ignore-volumes', 'leave its volumes out of the tar file');
  return addCriuFlags(command, podmanCriuFlags);
}

function defineCreate(container: Command, io: Io): void {
  const command = container
    .command('create')
    .description('start a container that can be checkpointed with its GPU memory')
    .argument('<name>', 'name of the container')
    .argument('<image>', 'container image, which podman pulls')
    .argument('[command...]', 'after --: program and arguments in the container')
    .addOption(new Option('--preset <name>', 'see criu-cuda presets').choices(presetNames).default('plain'))
    .addOption(
      new Option(
        '--gpu <access>',
        'how the container gets GPUs (default: cdi on a machine with a GPU)',
      ).choices(['cdi', 'devices', 'none']),
    )
    .option(
      '--store <dir>',
      'directory for its images, also mounted in the container, so that it can map page files',
    )
    .option('--podman-arg <word...>', 'more arguments for podman run, such as --podman-arg=--env=A=b');
  addPluginOptions(command).action((name: string, image: string, words: string[], flags: CreateFlags) =>
    create(io, name, image, words, flags),
  );
  addExamples(
    command,
    'criu-cuda container create web IMAGE -- python3 server.py',
    'criu-cuda container create web IMAGE --store /var/lib/criu-cuda/images -- python3 server.py',
  );
}

function defineCheckpoint(container: Command, io: Io): void {
  const command = container
    .command('checkpoint')
    .description('checkpoint a running container, in place or into a tar file')
    .argument('<name>', 'name of the container')
    .option('--leave-running', 'keep the container running')
    .option('--export <file>', 'write a tar file, including GPU images')
    .addOption(
      new Option('--compress <how>', 'compression of the tar file')
        .choices(['none', 'gzip', 'zstd'])
        .default('none'),
    )
    .option('--store <dir>', 'directory for the images, such as a huge-page tmpfs');
  addOperation(command).action(async (name: string, flags: CheckpointFlags) => {
    const { export: exportTo, ...rest } = flags;
    const result = await withProgress(io, `checkpoint of ${name}`, (report) =>
      checkpointContainer({
        ...rest,
        name,
        signal: io.signal,
        onProgress: bytesFor(io, report),
        exportTo,
      }),
    );
    io.isComplete = true;
    io.result(result, () => containerCheckpointText(result));
    showWarnings(io, result.warnings);
  });
  addExamples(
    command,
    'criu-cuda container checkpoint web',
    'criu-cuda container checkpoint web --leave-running --export web.tar --compress zstd',
  );
}

function defineRestore(container: Command, io: Io): void {
  const command = container
    .command('restore')
    .description('restore a container in place, or a new one from a tar file')
    .argument('[name]', 'name of the container')
    .option('--import <file>', 'tar file of a checkpoint; [name] is the name of the new container')
    .addOption(
      new Option('--preset <name>', 'with --import: the preset it was created with')
        .choices(presetNames)
        .default('plain'),
    )
    .addOption(
      new Option('--gpu <access>', 'with --import: how it gets GPUs').choices(['cdi', 'devices', 'none']),
    )
    .option('--store <dir>', 'with --import: the store it was created with')
    .option(
      '--accept-config',
      'with --import: restore it with the privileges, mounts and user that the archive names',
    )
    .option('--keep', 'keep the images for another restore')
    .option('--ignore-static-ip', 'use a new IP address')
    .option('--ignore-static-mac', 'use a new MAC address');
  addOperation(command).action(async (name: string | undefined, flags: RestoreFlags) => {
    const { import: importFrom, ...rest } = flags;
    const result = await withProgress(io, `restore of ${name ?? importFrom ?? ''}`, (report) =>
      restoreContainer({
        ...rest,
        signal: io.signal,
        onProgress: bytesFor(io, report),
        name,
        importFrom,
      }),
    );
    io.isComplete = true;
    io.result(result, () => containerRestoreText(result));
    showWarnings(io, result.warnings);
  });
  addExamples(
    command,
    'criu-cuda container restore web --keep',
    'criu-cuda container restore web2 --import web.tar',
  );
}

function defineSetup(container: Command, io: Io): void {
  const command = container
    .command('setup')
    .description('prepare this machine for checkpointing containers, or undo it');
  addContainersSetup(command).action(async (flags: ContainersFlags) => {
    const { runContainersSetup } = await import('./setup.ts');
    await runContainersSetup(io, flags);
  });
  addExamples(
    command,
    'criu-cuda container setup --image-store 64G --dry-run',
    'criu-cuda container setup --image-store 64G',
    'criu-cuda container setup --undo',
  );
}

export function defineContainer(container: Command, io: Io): void {
  defineCreate(container, io);
  defineCheckpoint(container, io);
  defineRestore(container, io);
  defineSetup(container, io);
  const remove = container
    .command('remove')
    .description('remove a container, running or not, and its images')
    .argument('<name>', 'name of the container')
    .action(async (name: string) => {
      const removed = await removeContainer(name);
      io.result({ removed: removed?.id ?? null }, () =>
        removed ? `removed ${name}` : `there is no container ${name}`,
      );
    });
  addExamples(remove, 'criu-cuda container remove web');
  definePrune(container, io);
}

function definePrune(container: Command, io: Io): void {
  const prune = container
    .command('prune')
    .description(
      'remove the containers of this program that do not run and have no checkpoint, and their images',
    )
    .option('--all', 'also those that have a checkpoint, which is lost')
    .option('--dry-run', 'only say what would be removed')
    .action(async (flags: { all?: boolean; dryRun?: boolean }) => {
      const result = await pruneContainers({ ...flags, signal: io.signal });
      const line = (what: string, names: readonly string[]): string[] =>
        names.map((name) => `${what} ${name}`);
      io.result(result, () =>
        [
          ...line(flags.dryRun === true ? 'would remove' : 'removed', result.removed),
          ...line('left, it runs:', result.running),
          ...line('left, it has a checkpoint (--all removes it):', result.checkpointed),
          ...(Object.values(result).flat().length === 0 ? ['there is no container of criu-cuda'] : []),
        ].join('\n'),
      );
    });
  addExamples(prune, 'criu-cuda container prune --dry-run');
}

export function definePresets(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda presets');
  command.action(() => {
    const presets = listPresets();
    io.result(presets, () =>
      presets
        .map(({ name, use, parts }) => {
          const rows = parts.map((part) => [
            `  ${partText(part)}`,
            part.saves,
            part.costs,
            part.measured ?? 'not measured',
          ]);
          const head = ['  what', 'saves', 'costs', 'measured'];
          return `${io.colors.bold(name)}: ${use}${rows.length === 0 ? '' : `\n${table(head, rows)}`}`;
        })
        .join('\n\n'),
    );
  });
}
