// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import {
  addExamples,
  addOperands,
  imagesDirOperand,
  withOptions,
  type Operand,
} from '../command-line/index.ts';
import { directoryProblem } from '../directory.ts';
import { UsageError } from '../errors.ts';
import { formatBytes, formatDuration, table, type Io } from '../output.ts';
import {
  dropAllImages,
  dropImages,
  markGolden,
  formatPoolMetrics,
  prefetchImages,
  startPool,
  readPoolStatus,
  receiveImages,
  stopPool,
  servePoolMetrics,
  type MetricsAddress,
  type PoolStatus,
  type Reception,
} from '../pool/index.ts';
import { measurePool, type PoolContextUse } from '../context/index.ts';
import { bytesFor, withProgress } from '../progress.ts';
import { cacheImage, isReference } from '../registry/index.ts';
import {
  addCacheOptions,
  pullText,
  pullWarnings,
  registryOptions,
  type CacheFlags,
} from './image-registry.ts';
import { showWarnings } from './operation-options.ts';
import { workText } from './pool-work.ts';

interface PrefetchFlags extends CacheFlags {
  imagesDir: string;
  golden?: boolean | undefined;
}

interface DropFlags {
  imagesDir?: string | undefined;
  force?: boolean | undefined;
}

interface GoldenFlags {
  imagesDir: string;
  state: 'on' | 'off';
}

type MeasuredStatus = Omit<PoolStatus, 'contexts'> & { contexts: PoolContextUse[] };

const measured = async (status: PoolStatus): Promise<MeasuredStatus> => ({
  ...status,
  contexts: await measurePool(status),
});

function statusText(status: MeasuredStatus): string {
  const { pid, version, budgetBytes, devices, images, counters } = status;
  const lines = [
    `cuda-poold ${version}, pid ${pid}, budget ${budgetBytes === 0 ? 'unlimited' : `${formatBytes(budgetBytes)} per GPU`}`,
    table(
      ['GPU', 'name', 'free', 'resident'],
      devices.map((d) => [d.uuid, d.name, formatBytes(d.freeBytes), formatBytes(d.residentBytes)]),
    ),
    ...workText(status),
  ];
  if (images.length > 0) {
    const rows = images.map((image) => [
      image.dir,
      String(image.pid),
      formatBytes(image.bytes),
      image.memory,
      [image.state, image.origin, ...(image.isGolden ? ['golden'] : [])].join(' '),
      formatDuration(image.idleMs),
    ]);
    lines.push(table(['resident images', 'pid', 'size', 'memory', 'state', 'idle'], rows));
  }
  const counted = Object.entries(counters).filter(([, value]) => value > 0);
  if (counted.length > 0) lines.push(counted.map(([name, value]) => `${name} ${value}`).join(', '));
  return lines.join('\n');
}

function parseAddress(text: string): MetricsAddress {
  if (isAbsolute(text)) return { socketPath: text };
  const [, host, port] = /^(127\.0\.0\.1|\[::1\]):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError('accepted: an absolute path, 127.0.0.1:PORT or [::1]:PORT');
  return { host: host === '127.0.0.1' ? host : '::1', port: Number(port) };
}

async function metrics(io: Io, address: MetricsAddress | undefined): Promise<void> {
  if (address === undefined) {
    io.out(formatPoolMetrics(await readPoolStatus({ signal: io.signal })));
    return;
  }
  const server = await servePoolMetrics(address);
  io.err(
    `serving GET /metrics at ${'socketPath' in address ? address.socketPath : `${address.host}:${address.port}`}`,
  );
  await once(io.signal, 'abort');
  server.close();
}

const onOrOff: Operand = {
  name: 'state',
  description: 'on or off',
  words: ['on', 'off'],
  parse: (word) => {
    if (word === 'on' || word === 'off') return word;
    throw new InvalidArgumentError('accepted: on, off');
  },
};

interface Prefetched {
  dir: string;
  resident: number;
  /** About the transfer and this machine. */
  warnings: string[];
}

async function prefetchDirectory(io: Io, dir: string, isGolden: boolean): Promise<Prefetched> {
  const problem = directoryProblem(dir);
  if (problem !== undefined) throw new UsageError(problem, 'pass the images directory of a checkpoint');
  const resident = await withProgress(io, `loading ${dir}`, (report) =>
    prefetchImages(dir, { golden: isGolden, signal: io.signal, onProgress: bytesFor(io, report) }),
  );
  return { dir, resident, warnings: [] };
}

/** An image in a registry is loaded while it arrives in the cache. */
async function prefetchReference(io: Io, flags: PrefetchFlags): Promise<Prefetched> {
  const { imagesDir: reference, golden, ...more } = flags;
  let reception: Reception | undefined;
  try {
    const pulled = await withProgress(io, `pull of ${reference}`, (report) =>
      cacheImage(reference, {
        ...registryOptions(more, io),
        mustRestore: true,
        onProgress: bytesFor(io, report),
        receive: async (dir) => {
          reception = await receiveImages(dir, { golden, signal: io.signal });
          return reception;
        },
      }),
    );
    if (!io.json) io.err(pullText(pulled));
    const { imagesDir: dir } = pulled;
    const warnings = pullWarnings(pulled);
    showWarnings(io, warnings);
    if (!reception) return { ...(await prefetchDirectory(io, dir, golden === true)), warnings };
    const received = reception;
    const resident = await withProgress(io, `loading ${dir}`, () => received.complete());
    return { dir, resident, warnings };
  } finally {
    reception?.close();
  }
}

async function prefetch(io: Io, flags: PrefetchFlags): Promise<void> {
  const start = performance.now();
  const { imagesDir, golden } = flags;
  const isDirectory = existsSync(imagesDir) || !isReference(imagesDir);
  const { dir, resident, warnings } = isDirectory
    ? await prefetchDirectory(io, imagesDir, golden === true)
    : await prefetchReference(io, flags);
  const durationMs = performance.now() - start;
  io.result(
    { dir, resident, durationMs, warnings },
    () => `${resident} resident after ${formatDuration(durationMs)}`,
  );
}

async function drop(io: Io, { imagesDir: dir, force }: DropFlags): Promise<void> {
  const options = { force: force === true, signal: io.signal };
  const dropped = await (dir === undefined ? dropAllImages(options) : dropImages(dir, options));
  const others = options.force ? '' : '; golden images stay without --force';
  io.result({ dropped }, () => `${dropped} dropped${dropped === 0 ? others : ''}`);
}

async function golden(io: Io, { imagesDir, state }: GoldenFlags): Promise<void> {
  const marked = await markGolden(imagesDir, state === 'on', { signal: io.signal });
  io.result({ marked }, () => `${marked} marked`);
}

/** Commands about the images of a directory. */
function defineResident(pool: Command, io: Io): void {
  const prefetched = pool
    .command('prefetch')
    .description('load the GPU images of a directory, or of an image in a registry, into device memory');
  addOperands(prefetched, [imagesDirOperand('images directory, or REGISTRY/REPOSITORY:TAG')]);
  addCacheOptions(prefetched)
    .option('--golden', 'keep them for any number of restores')
    .action(withOptions((flags: PrefetchFlags) => prefetch(io, flags)));
  addExamples(
    prefetched,
    'criu-cuda pool prefetch /var/lib/images',
    'criu-cuda pool prefetch /var/lib/images --golden',
    'criu-cuda pool prefetch registry.example.com/models/llama:warm --golden',
  );
  const dropped = pool.command('drop').description('free the device memory of resident images');
  const all = { ...imagesDirOperand('images directory (default: all resident images)'), isOptional: true };
  addOperands(dropped, [all])
    .option('--force', 'drop golden images too')
    .action(withOptions((flags: DropFlags) => drop(io, flags)));
  addExamples(dropped, 'criu-cuda pool drop /var/lib/images', 'criu-cuda pool drop --force');
  const marked = pool.command('golden').description('mark resident images as golden, or remove the mark');
  addOperands(marked, [imagesDirOperand(), onOrOff]).action(
    withOptions((flags: GoldenFlags) => golden(io, flags)),
  );
  addExamples(
    marked,
    'criu-cuda pool golden /var/lib/images on',
    'criu-cuda pool golden /var/lib/images off',
  );
}

export function definePool(pool: Command, io: Io): void {
  const started = pool
    .command('start')
    .description('start the daemon and wait until it answers')
    .option('--log <file>', 'log file (default: pool.log in the run directory)')
    .action(async ({ log }: { log?: string | undefined }) => {
      const status = await withProgress(io, 'starting cuda-poold', async () =>
        measured(await startPool({ signal: io.signal, logFile: log })),
      );
      io.result(status, () => statusText(status));
    });
  addExamples(started, 'criu-cuda pool start');
  const stopped = pool
    .command('stop')
    .description('end the daemon after the operations in progress')
    .action(async () => {
      const onStandbys = (pids: number[]): void => {
        for (const pid of pids)
          io.err(`waiting for the standby ${pid}: criu-cuda wake ${pid}, or criu-cuda stop ${pid}`);
      };
      const pid = await withProgress(io, 'ending cuda-poold', () =>
        stopPool({ signal: io.signal, onStandbys }),
      );
      io.result({ pid }, () => `cuda-poold ${pid} has ended`);
    });
  addExamples(stopped, 'criu-cuda pool stop');
  const status = pool
    .command('status')
    .alias('list')
    .description('what is warm, in progress and resident, and what was done')
    .action(async () => {
      const status = await measured(await readPoolStatus({ signal: io.signal }));
      io.result(status, () => statusText(status));
    });
  addExamples(status, 'criu-cuda pool status', 'criu-cuda pool status --json');
  defineResident(pool, io);
  const served = pool
    .command('metrics')
    .description('print metrics for Prometheus, or serve them')
    .option(
      '--listen <address>',
      'serve them at a Unix socket path, 127.0.0.1:PORT or [::1]:PORT',
      parseAddress,
    )
    .action(({ listen }: { listen?: MetricsAddress | undefined }) => metrics(io, listen));
  addExamples(served, 'criu-cuda pool metrics', 'criu-cuda pool metrics --listen 127.0.0.1:9400');
}
