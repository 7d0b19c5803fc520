// SPDX-License-Identifier: MIT
/** `bench run` and `bench matrix`: measure dumps and restores. */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { addEnvFile, addExamples, addOutput, requiredOption, typedWords } from '../../command-line/index.ts';
import {
  type BenchmarkCase,
  type BenchmarkResult,
  caseNames,
  matrixCases,
  type PageCache,
  parseCase,
  runBenchmark,
  ServerBench,
} from '../../benchmark/index.ts';
import { pluginVariants } from '../../variant.ts';
import { UsageError } from '../../errors.ts';
import { formatDuration, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { resultTable } from '../../report/index.ts';
import { wholeNumber } from '../operation-options.ts';
import { addServerOptions, serverOptions, type ServerFlags } from '../server-options.ts';
import { useDriver } from './driver.ts';
import { withEachCriu, words } from './options.ts';
import { resultFile } from './results-dir.ts';

interface RunOptions extends Omit<ServerFlags, 'url'> {
  criu: string[];
  upstream?: string | undefined;
  alloc: string[];
  question: string;
  rounds: number;
  warmup: number;
  pageCache: PageCache;
  output?: string | undefined;
  restart?: boolean | undefined;
  url?: string | undefined;
  requests: number;
  reuse?: boolean | undefined;
}

interface CasesOptions extends RunOptions {
  cases: string[];
  store: string;
}

interface MatrixOptions extends RunOptions {
  variants: string[];
  streams: number[];
  chunkMb: number[];
  pool: (0 | 1)[];
  prefetch: (0 | 1)[];
  store: string[];
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('not a whole number');
  return value;
}

const counts = (text: string): number[] => words(text).map(count);

function switches(text: string): (0 | 1)[] {
  return words(text).map((word) => {
    if (word === '0') return 0;
    if (word === '1') return 1;
    throw new InvalidArgumentError('accepted: 0, 1 or 0,1');
  });
}

/** The benchmark of a server, if `--url` names one. */
function serverBench(io: Io, options: RunOptions, command: readonly string[]): ServerBench | undefined {
  const { url, requests, reuse, pageCache } = options;
  if (url === undefined) return undefined;
  if (command.length === 0) throw new UsageError('--url needs the command of the server after --');
  return new ServerBench({
    command,
    server: serverOptions({ ...options, url }),
    requests,
    pageCache,
    reuse,
    signal: io.signal,
  });
}

async function measure(
  io: Io,
  defined: Command,
  cases: readonly BenchmarkCase[],
  store: string,
  options: RunOptions,
  command: readonly string[],
): Promise<void> {
  const { alloc, question, rounds, warmup, pageCache, output, restart, requests, reuse } = options;
  await useDriver(io);
  const file = output === undefined ? resultFile(defined.name()) : resolve(output);
  const server = serverBench(io, options, command);
  const run = withProgress(io, 'benchmark', (report) =>
    runBenchmark({
      cases,
      workload: command.length > 0 ? [...command] : alloc.flatMap((size) => ['--alloc', size]),
      ...(server
        ? {
            measure: (one, round, dir) => server.measure(one, round, dir),
            measureOptions: {
              server: serverOptions({ ...options, url: options.url ?? '' }),
              requests,
              reuse,
            },
          }
        : command.length > 0
          ? { program: { command, question } }
          : {}),
      rounds,
      warmup,
      store,
      pageCache,
      command: typedWords(defined),
      until: server ? 'first token' : 'verified',
      signal: io.signal,
      out: file,
      restart,
      onProgress: ({ done, total, remainingMs, sample }) => {
        report(
          `${done} of ${total}, about ${formatDuration(remainingMs)} left; ${sample.case}: ${sample.imageBytes === 0 ? 'started' : 'restored'} in ${sample.verifiedMs.toFixed(0)} ms`,
        );
      },
    }),
  );
  const result: BenchmarkResult = await run.finally(() => server?.close());
  io.result(result, () => `${resultTable(result)}\nwritten: ${file}`);
}

function addRunOptions(command: Command): Command {
  const described = command
    .argument('[program...]', 'after --: a program with the socket protocol of workload-pattern, or a server')
    .option(
      '--question <line>',
      'request to that program; its answer must be the same after a restore',
      'answer',
    )
    .option(
      '--url <url>',
      'the program is an inference server at http://HOST:PORT with the health and completions endpoints of vLLM; times are to its first token',
    )
    .option('--requests <n>', 'requests to such a server before each dump', wholeNumber(1, 10_000), 3)
    .option('--reuse', 'start the program once, and dump the process of the previous restore');
  addEnvFile(addServerOptions(described))
    .option('--upstream <dir>', "directory with CRIU's own cuda_plugin.so and NVIDIA's cuda-checkpoint")
    .option('--alloc <size...>', 'device memory of the workload, SIZE or SIZExCOUNT', ['64M'])
    .option(
      '--criu <list>',
      'measure every case with each of these criu programs, joined by commas; default: the one that setup finds',
      words,
      ['default'],
    )
    .option('--rounds <n>', 'measured rounds', count, 5)
    .option('--warmup <n>', 'rounds before the measured ones', count, 1)
    .addOption(
      new Option('--page-cache <what>', 'page cache before each restore')
        .choices(['warm', 'dropped'])
        .default('warm'),
    )
    .option('--restart', 'discard an interrupted run and start over');
  return addOutput(command, {
    description:
      'file for all samples as JSON, and as CSV next to it; an interrupted run continues (default: in a new directory with the date below results)',
  });
}

export function defineRun(command: Command, io: Io): void {
  command
    .option(
      '--cases <list>',
      `${caseNames.join(', ')} or NAME=DIR of any plugin, joined by commas; @CRIU after one sets the path of the criu program; speedups are relative to upstream, where it is among them, otherwise to the first`,
      words,
      ['stock'],
    )
    .addOption(requiredOption('--store <dir>', 'directory for images'));
  addRunOptions(command).action((program: string[], options: CasesOptions) =>
    measure(
      io,
      command,
      withEachCriu(options.cases, options.criu).map((word) => parseCase(word, options.upstream)),
      options.store,
      options,
      program,
    ),
  );
  addExamples(
    command,
    'criu-cuda bench run --store /mnt/images --cases stock,full --output results/run.json',
    'criu-cuda bench run --store /mnt/images --url http://127.0.0.1:8000 -- python3 server.py',
  );
}

export function defineMatrix(command: Command, io: Io): void {
  command
    .option('--variants <list>', `cold-start, upstream, ${pluginVariants.join(', ')} or NAME=DIR`, words, [
      'stock',
      'parallel',
    ])
    .option('--streams <list>', 'CRIU_CUDA_STREAMS', counts, [8])
    .option('--chunk-mb <list>', 'CRIU_CUDA_CHUNK_MB', counts, [4])
    .option('--pool <list>', 'CRIU_CUDA_CONTEXT_POOL (variant full)', switches, [0, 1])
    .option(
      '--prefetch <list>',
      'whether the daemon loads the image before the restore (needs pool 1)',
      switches,
      [0],
    )
    .addOption(requiredOption('--store <dirs>', 'directories for images, joined by commas').argParser(words));
  addRunOptions(command).action((program: string[], options: MatrixOptions) => {
    const cases = matrixCases(
      {
        variants: withEachCriu(options.variants, options.criu),
        streams: options.streams,
        chunksMb: options.chunkMb,
        pools: options.pool,
        stores: options.store,
        prefetch: options.prefetch.map((value) => value === 1),
      },
      options.upstream,
    );
    return measure(io, command, cases, options.store[0] ?? '', options, program);
  });
  addExamples(
    command,
    'criu-cuda bench matrix --store /mnt/images --variants stock,full',
    'criu-cuda bench matrix --store /mnt/images --streams 4,8 --chunk-mb 2,4 --output results/matrix.json',
  );
}
