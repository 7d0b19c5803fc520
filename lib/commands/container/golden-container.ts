// SPDX-License-Identifier: MIT
/**
 * What `golden` does with containers. A restore of an image in a registry does not load it.
 * @module
 */
import { resolve } from 'node:path';
import { runBenchmark } from '../../benchmark/index.ts';
import type { ContainerCreateOptions } from '../../container/index.ts';
import {
  createGolden,
  goldenCases,
  measureGolden,
  restoreGolden,
  type GoldenRestoreOptions,
  type GoldenResult,
} from '../../golden/index.ts';
import { formatDuration, table, type Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { resultTable } from '../../report/index.ts';
import { withEachCriu } from '../bench/options.ts';
import { resultFile } from '../bench/results-dir.ts';
import { showWarnings } from '../operation-options.ts';
import { serverOptions, type ServerFlags } from '../server-options.ts';
import { containerCheckpointText, containerRestoreText } from './container.ts';

interface ContainerFlags extends ServerFlags {
  requests: number;
  preset: string;
  gpu?: 'cdi' | 'devices' | 'none' | undefined;
  podmanArg?: string[] | undefined;
}

/** What `golden create` is given. */
export interface CreateFlags extends ContainerFlags {
  variant?: string | undefined;
  store?: string | undefined;
  export?: string | undefined;
  criu?: string | undefined;
  force?: boolean | undefined;
}

/** What `golden restore` of a container is given. */
export type ContainerRestoreFlags = Omit<GoldenRestoreOptions, 'name' | 'importFrom'> & {
  import?: string | undefined;
};

/** What `golden bench` is given. */
export interface BenchFlags extends ContainerFlags {
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

/** Checkpoints a server that has answered requests. */
export async function create(
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

/** Compares start and restore of a server. */
export async function bench(
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

/** Restores the server of a golden checkpoint. */
export async function restoreContainer(io: Io, name: string, given: ContainerRestoreFlags): Promise<void> {
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
