// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
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
import { formatDuration, table, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { resultTable } from '../../report/index.ts';
import { containerCheckpointText, containerRestoreText } from './container.ts';
import { wholeNumber } from '../operation-options.ts';
import { addServerOptions, serverOptions, type ServerFlags } from '../server-options.ts';

interface ContainerFlags extends ServerFlags {
  warmup: number;
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

interface BenchFlags extends ContainerFlags {
  variants: string[];
  rounds: number;
  store: string;
  out?: string | undefined;
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
      : `${name} has a golden checkpoint in ${imagesDir} (--force makes it anew)`,
    `healthy ${formatDuration(record.healthyMs)} after its start`,
    table(['request', 'first token', 'whole answer', 'answer'], rows),
    ...(checkpoint === undefined ? [] : [containerCheckpointText(checkpoint)]),
    `restore it with: criu-cuda golden restore ${name}`,
  ].join('\n');
}

function addContainerOptions(command: Command): Command {
  const described = command
    .argument('<name>', 'of the container')
    .argument('<image>')
    .argument('[command...]', 'after --: program and arguments in the container')
    .requiredOption('--url <url>', 'where the server listens, such as http://127.0.0.1:8000');
  return addServerOptions(described)
    .option('--warmup <n>', 'requests before the checkpoint', wholeNumber(1, 10_000), 3)
    .addOption(
      new Option('--preset <name>', 'see criu-cuda presets').choices(presetNames).default('python-server'),
    )
    .addOption(new Option('--gpu <access>', 'as for container create').choices(['cdi', 'devices', 'none']))
    .option('--podman-arg <word...>', 'more for podman run');
}

async function create(
  io: Io,
  name: string,
  image: string,
  words: string[],
  flags: CreateFlags,
): Promise<void> {
  const { variant, store, criu, force, warmup } = flags;
  const result = await withProgress(io, `golden checkpoint of ${name}`, (report) =>
    createGolden({
      ...containerOptions(name, image, words, flags, io),
      server: serverOptions(flags),
      warmup,
      onProgress: report,
      variant,
      store,
      exportTo: flags.export,
      criu,
      force,
    }),
  );
  io.result(result, () => goldenText(result));
}

async function bench(io: Io, name: string, image: string, words: string[], flags: BenchFlags): Promise<void> {
  const { variants, rounds, warmup, store, out, restart } = flags;
  const container = containerOptions(name, image, words, flags, io);
  const result = await withProgress(io, 'benchmark', (report) =>
    runBenchmark({
      cases: goldenCases(variants),
      workload: [image, ...words],
      measure: measureGolden({ ...container, server: serverOptions(flags), warmup }),
      measureOptions: { server: serverOptions(flags), warmup, preset: flags.preset, gpu: flags.gpu },
      rounds,
      warmup: 1,
      store,
      pageCache: 'warm',
      signal: io.signal,
      ...(out === undefined ? {} : { out: resolve(out) }),
      restart,
      onProgress: ({ done, total, remainingMs, sample }) => {
        report(
          `${done} of ${total}, about ${formatDuration(remainingMs)} left; ${sample.case}: first token after ${formatDuration(sample.verifiedMs)}`,
        );
      },
    }),
  );
  io.result(result, () => resultTable(result));
}

export function registerGolden(program: Command, io: Io): void {
  const golden = program
    .command('golden')
    .description('a server started, warmed up and checkpointed once, restored as often as wanted');
  addContainerOptions(golden.command('create'))
    .description('start, wait until healthy, warm up, checkpoint; does nothing when it is there already')
    .option('--variant <name>', 'variant of the plugin')
    .option('--store <dir>', 'where the images go, such as a huge-page tmpfs')
    .option('--export <file>', 'into a tar file as well')
    .option('--criu <program>', 'another criu')
    .option('--force', 'anew, although it is there')
    .action((name: string, image: string, words: string[], flags: CreateFlags) =>
      create(io, name, image, words, flags),
    );
  golden
    .command('restore')
    .description('restore it, ask it, and compare its answer; the checkpoint stays')
    .argument('<name>')
    .option('--variant <name>', 'variant of the plugin (default: the one it was created for)')
    .option('--criu <program>', 'another criu')
    .option('--no-compare', 'any answer will do')
    .action(async (name: string, flags: Omit<GoldenRestoreOptions, 'name'>) => {
      const result = await withProgress(io, `restore of ${name}`, () =>
        restoreGolden({ ...flags, name, signal: io.signal }),
      );
      io.result(result, () =>
        [
          containerRestoreText(result.restore),
          `healthy after ${formatDuration(result.healthyMs)}, first token after ${formatDuration(result.firstTokenMs)}`,
        ].join('\n'),
      );
    });
  addContainerOptions(golden.command('bench'))
    .description(
      'cold start against restore, to the first token; each round removes and starts the container',
    )
    .option(
      '--variants <list>',
      'of the plugin, joined by commas, or NAME=DIR',
      (text: string) => text.split(','),
      ['stock'],
    )
    .option('--rounds <n>', 'measured rounds', wholeNumber(1, 10_000), 5)
    .requiredOption('--store <dir>', 'where the images go')
    .option('--out <file>', 'keep all samples as JSON and CSV; an interrupted run goes on')
    .option('--restart', 'forget an interrupted run')
    .action((name: string, image: string, words: string[], flags: BenchFlags) =>
      bench(io, name, image, words, flags),
    );
}
