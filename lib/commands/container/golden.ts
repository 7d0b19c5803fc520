// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import {
  addEnvFile,
  addExamples,
  addOldName,
  addOutput,
  requiredOption,
  typedWords,
} from '../../command-line/index.ts';
import { runBenchmark } from '../../benchmark/index.ts';
import { presetNames, type ContainerCreateOptions } from '../../container/index.ts';
import {
  createGolden,
  goldenCases,
  measureGolden,
  restoreGolden,
  type GoldenResult,
  type GoldenRestoreOptions,
} from '../../golden/index.ts';
import { UsageError } from '../../errors.ts';
import { formatDuration, table, type Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { isReference } from '../../registry/index.ts';
import { resultTable } from '../../report/index.ts';
import { containerCheckpointText, containerRestoreText } from './container.ts';
import { showWarnings, wholeNumber } from '../operation-options.ts';
import { addCacheOptions } from '../image-registry.ts';
import { withEachCriu, words } from '../bench/options.ts';
import { resultFile } from '../bench/results-dir.ts';
import { endingTogether } from '../process/restore.ts';
import { refuseImageOptions, restoreGoldenImage, type GoldenImageFlags } from './golden-image.ts';
import { addServerOptions, serverOptions, type ServerFlags } from '../server-options.ts';

interface ContainerFlags extends ServerFlags {
  requests: number;
  preset: string;
  gpu?: 'cdi' | 'devices' | 'none' | undefined;
  podmanArg?: string[] | undefined;
}

interface CreateFlags extends ContainerFlags {
  variant?: string | undefined;
  store?: string | undefined;
  export?: string | undefined;
  criu?: string | undefined;
  force?: boolean | undefined;
}

type RestoreFlags = Omit<GoldenRestoreOptions, 'name' | 'importFrom'> &
  GoldenImageFlags & { import?: string | undefined };

interface BenchFlags extends ContainerFlags {
  criu: string[];
  variants: string[];
  rounds: number;
  warmup: number;
  store: string;
  output?: string | undefined;
  restart?: boolean | undefined;
}

function containerOptions(
  name: string,
  image: string,
  command: readonly string[],
  { preset, gpu, podmanArg }: ContainerFlags,
  io: Io,
): ContainerCreateOptions {
  return {
    name,
    image,
    command,
    preset,
    signal: io.signal,
    gpu,
    podmanArgs: podmanArg,
  };
}

function goldenText({ name, created, imagesDir, record, checkpoint }: GoldenResult): string {
  const rows = record.warmup.map((answer, index) => [
    String(index + 1),
    formatDuration(answer.firstTokenMs),
    formatDuration(answer.durationMs),
    JSON.stringify(answer.text.slice(0, 40)),
  ]);
  return [
    created
      ? `golden checkpoint of ${name}`
      : `${name} has a golden checkpoint in ${imagesDir} (--force creates it again)`,
    `healthy ${formatDuration(record.healthyMs)} after its start`,
    table(['request', 'first token', 'full answer', 'answer'], rows),
    ...(checkpoint === undefined ? [] : [containerCheckpointText(checkpoint)]),
    `restore it with: criu-cuda golden restore ${name}`,
  ].join('\n');
}

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

async function create(
  io: Io,
  name: string,
  image: string,
  words: string[],
  flags: CreateFlags,
): Promise<void> {
  const { variant, store, criu, force, requests } = flags;
  const result = await withProgress(io, `golden checkpoint of ${name}`, (report) =>
    createGolden({
      ...containerOptions(name, image, words, flags, io),
      server: serverOptions(flags),
      warmup: requests,
      onProgress: report,
      onTransfer: bytesFor(io, report),
      variant,
      store,
      exportTo: flags.export,
      criu,
      force,
    }),
  );
  io.isComplete = true;
  io.result(result, () => goldenText(result));
  showWarnings(io, result.checkpoint?.warnings ?? []);
}

async function bench(
  io: Io,
  typed: readonly string[],
  name: string,
  image: string,
  words: string[],
  flags: BenchFlags,
): Promise<void> {
  const file = flags.output === undefined ? resultFile(name) : resolve(flags.output);
  const { variants, criu, rounds, warmup, requests, store, restart } = flags;
  const container = containerOptions(name, image, words, flags, io);
  const result = await withProgress(io, 'benchmark', (report) =>
    runBenchmark({
      cases: goldenCases(withEachCriu(variants, criu)),
      workload: [image, ...words],
      measure: measureGolden({
        ...container,
        server: serverOptions(flags),
        warmup: requests,
        onTransfer: bytesFor(io, report),
      }),
      measureOptions: {
        server: serverOptions(flags),
        warmup: requests,
        preset: flags.preset,
        gpu: flags.gpu,
      },
      rounds,
      warmup,
      store,
      pageCache: 'warm',
      signal: io.signal,
      out: file,
      command: typed,
      until: 'first token',
      restart,
      onProgress: ({ done, total, remainingMs, sample }) => {
        report(
          `${done} of ${total}, about ${formatDuration(remainingMs)} left; ${sample.case}: first token after ${formatDuration(sample.verifiedMs)}`,
        );
      },
    }),
  );
  io.result(result, () => `${resultTable(result)}\nwritten: ${file}`);
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
    .action((name: string, image: string, words: string[], flags: CreateFlags) =>
      create(io, name, image, words, flags),
    );
  addOldName(command, requests, '--warmup');
  addExamples(command, 'criu-cuda golden create web IMAGE --url http://127.0.0.1:8000 -- python3 server.py');
}

async function restoreNamed(io: Io, name: string, given: RestoreFlags): Promise<void> {
  if (isReference(name)) {
    if (given.import !== undefined)
      throw new UsageError('--import is for a tar file, and an image was named');
    await endingTogether(io, () => restoreGoldenImage(io, name, given));
    return;
  }
  refuseImageOptions(name, given);
  const { import: importFrom, ...flags } = given;
  const result = await withProgress(io, `restore of ${name}`, (report) =>
    restoreGolden({
      ...{ ...flags, importFrom, name },
      ...{ signal: io.signal, onTransfer: bytesFor(io, report) },
    }),
  );
  io.isComplete = true;
  io.result(result, () =>
    [
      containerRestoreText(result.restore),
      `healthy after ${formatDuration(result.healthyMs)}, first token after ${formatDuration(result.firstTokenMs)}`,
    ].join('\n'),
  );
  showWarnings(io, result.restore.warnings);
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
  }).action((name: string, image: string, words: string[], flags: BenchFlags) =>
    bench(io, typedWords(command), name, image, words, flags),
  );
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
