// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import {
  addEnvFile,
  addExamples,
  addOldName,
  addOutput,
  requiredOption,
  typedWords,
} from '../../command-line/index.ts';
import { presetNames } from '../../container/index.ts';
import { UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { isReference } from '../../registry/index.ts';
import { wholeNumber } from '../operation-options.ts';
import { addCacheOptions } from '../image-registry.ts';
import { words } from '../bench/options.ts';
import { addServerOptions } from '../server-options.ts';
import type { BenchFlags, ContainerRestoreFlags, CreateFlags } from './golden-container.ts';
import type { GoldenImageFlags } from './golden-image.ts';

type RestoreFlags = ContainerRestoreFlags & GoldenImageFlags;

function addContainerOptions(command: Command, requests: Option): Command {
  const described = command
    .argument('<name>', 'name of the container')
    .argument('<image>', 'container image, which podman pulls')
    .argument('[command...]', 'after --: program and arguments in the container')
    .addOption(requiredOption('--url <url>', 'address of the server, such as http://127.0.0.1:8000'));
  return addEnvFile(addServerOptions(described))
    .addOption(requests)
    .addOption(
      new Option('--preset <name>', 'see criu-cuda presets').choices(presetNames).default('python-server'),
    )
    .addOption(new Option('--gpu <access>', 'as in container create').choices(['cdi', 'devices', 'none']))
    .option('--podman-arg <word...>', 'more arguments for podman run');
}

const newRequests = (): Option =>
  new Option('--requests <n>', 'requests to the server before the checkpoint')
    .argParser(wholeNumber(1, 10_000))
    .default(3);

function defineCreate(golden: Command, io: Io): void {
  const requests = newRequests();
  const command = addContainerOptions(golden.command('create'), requests)
    .description(
      'start a server, wait until it is healthy, warm it up and checkpoint it, unless that is already done',
    )
    .option('--variant <name>', 'variant of the plugin')
    .option('--store <dir>', 'directory for the images, such as a huge-page tmpfs')
    .option('--export <file>', 'also write a tar file')
    .option('--criu <program>', 'path of the criu program')
    .option('--force', 'create it again even if it exists')
    .action(async (name: string, image: string, words: string[], flags: CreateFlags) => {
      await (await import('./golden-container.ts')).create(io, name, image, words, flags);
    });
  addOldName(command, requests, '--warmup');
  addExamples(command, 'criu-cuda golden create web IMAGE --url http://127.0.0.1:8000 -- python3 server.py');
}

async function restoreNamed(io: Io, name: string, given: RestoreFlags): Promise<void> {
  const { refuseImageOptions, restoreGoldenImage } = await import('./golden-image.ts');
  if (isReference(name)) {
    if (given.import !== undefined)
      throw new UsageError('--import is for a tar file, and an image was named');
    await restoreGoldenImage(io, name, given);
    return;
  }
  refuseImageOptions(name, given);
  await (await import('./golden-container.ts')).restoreContainer(io, name, given);
}

function defineRestore(golden: Command, io: Io): void {
  const command = golden
    .command('restore')
    .description(
      'restore the server and compare its answer with the recorded one; or an image in a registry, which is kept here',
    )
    .argument('<name>', 'a container, or REGISTRY/REPOSITORY:TAG')
    .option('--variant <name>', 'variant of the plugin (default: the one it was created for)')
    .option('--criu <program>', 'path of the criu program')
    .option('--no-compare', 'accept any answer')
    .option('--import <file>', 'tar file of golden create --export; <name> is the name of the new container')
    .addOption(
      new Option('--preset <name>', 'with --import: the preset it was created with')
        .choices(presetNames)
        .default('python-server'),
    )
    .addOption(
      new Option('--gpu <access>', 'with --import: how it gets GPUs').choices(['cdi', 'devices', 'none']),
    )
    .option('--store <dir>', 'with --import: the store it was created with')
    .option('--accept-config', 'with --import: with the privileges, mounts and user that the archive names');
  addCacheOptions(command)
    .option('--detach', 'of an image: return at once')
    .option('--log <file>', 'of an image: as in restore')
    .option('--isolated', 'of an image: in namespaces of its own, beside other copies')
    .option('--isolated-network', 'of an image: the same, with a network namespace')
    .option('--work-dir <dir>', 'of an image: directory for logs and statistics')
    .option('--libdir <dir>', 'of an image: directory of the plugin')
    .action((name: string, flags: RestoreFlags) => restoreNamed(io, name, flags));
  addExamples(
    command,
    'criu-cuda golden restore web',
    'criu-cuda golden restore web --no-compare',
    'criu-cuda golden restore web2 --import web.tar',
    'criu-cuda golden restore registry.example.com/models/llama:warm',
  );
}

function defineBench(golden: Command, io: Io): void {
  const command = addContainerOptions(golden.command('bench'), newRequests())
    .description(
      'compare cold start and restore up to the first token; each round removes and starts the container',
    )
    .option(
      '--variants <list>',
      'variants of the plugin or NAME=DIR, joined by commas',
      (text: string) => text.split(','),
      ['stock'],
    )
    .option(
      '--criu <list>',
      'measure every variant with each of these criu programs; default: that of setup',
      words,
      ['default'],
    )
    .option('--rounds <n>', 'measured rounds', wholeNumber(1, 10_000), 5)
    .option('--warmup <n>', 'rounds before the measured ones', wholeNumber(0, 10_000), 1)
    .addOption(requiredOption('--store <dir>', 'directory for the images'))
    .option('--restart', 'discard an interrupted run and start over');
  addOutput(command, {
    description:
      'file for all samples as JSON and CSV; an interrupted run continues (default: in a new directory with the date below results)',
  }).action(async (name: string, image: string, words: string[], flags: BenchFlags) => {
    const { bench } = await import('./golden-container.ts');
    await bench(io, typedWords(command), name, image, words, flags);
  });
  addExamples(
    command,
    'criu-cuda golden bench web IMAGE --url http://127.0.0.1:8000 --store /mnt/images -- python3 server.py',
  );
}

export function defineGolden(golden: Command, io: Io): void {
  defineCreate(golden, io);
  defineRestore(golden, io);
  defineBench(golden, io);
}
