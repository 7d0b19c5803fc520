// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import { isAbsolute } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { formatBytes, formatDuration, table, type Io } from '../output.ts';
import {
  dropAllImages,
  dropImages,
  markGolden,
  formatPoolMetrics,
  prefetchImages,
  startPool,
  readPoolStatus,
  stopPool,
  servePoolMetrics,
  type MetricsAddress,
  type PoolStatus,
} from '../pool/index.ts';
import { measurePool, type PoolContextUse } from '../context/index.ts';
import { withProgress } from '../progress.ts';
import { workText } from './pool-work.ts';

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
      [image.state, image.origin, ...(image.isGolden ? ['golden'] : [])].join(' '),
      formatDuration(image.idleMs),
    ]);
    lines.push(table(['images in device memory', 'pid', 'size', 'state', 'idle'], rows));
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

export function definePool(pool: Command, io: Io): void {
  pool
    .command('start')
    .description('start the daemon and wait until it answers')
    .option('--log <file>', 'log file (default: pool.log in the run directory)')
    .action(async ({ log }: { log?: string | undefined }) => {
      const status = await withProgress(io, 'starting cuda-poold', async () =>
        measured(await startPool({ signal: io.signal, logFile: log })),
      );
      io.result(status, () => statusText(status));
    });
  pool
    .command('stop')
    .description('end the daemon after the operations in progress')
    .action(async () => {
      const pid = await withProgress(io, 'ending cuda-poold', () => stopPool({ signal: io.signal }));
      io.result({ pid }, () => `cuda-poold ${pid} has ended`);
    });
  pool
    .command('status')
    .alias('list')
    .description('what is warm, in progress and resident, and what was done')
    .action(async () => {
      const status = await measured(await readPoolStatus({ signal: io.signal }));
      io.result(status, () => statusText(status));
    });
  pool
    .command('prefetch')
    .argument('<dir>', 'images directory')
    .description('load the GPU images of a directory into device memory')
    .option('--golden', 'keep them for any number of restores')
    .action(async (dir: string, { golden }: { golden?: boolean | undefined }) => {
      const start = performance.now();
      const resident = await withProgress(io, `loading ${dir}`, () =>
        prefetchImages(dir, { golden: golden === true, signal: io.signal }),
      );
      const durationMs = performance.now() - start;
      io.result(
        { dir, resident, durationMs },
        () => `${resident} resident after ${formatDuration(durationMs)}`,
      );
    });
  pool
    .command('drop')
    .argument('[dir]', 'images directory (default: all resident images)')
    .description('free the device memory of resident images')
    .option('--force', 'drop golden images too')
    .action(async (dir: string | undefined, { force }: { force?: boolean | undefined }) => {
      const options = { force: force === true, signal: io.signal };
      const dropped = await (dir === undefined ? dropAllImages(options) : dropImages(dir, options));
      io.result({ dropped }, () => `${dropped} dropped`);
    });
  pool
    .command('golden')
    .argument('<dir>', 'images directory')
    .argument('<on|off>')
    .description('mark resident images as golden, or remove the mark')
    .action(async (dir: string, word: string) => {
      if (word !== 'on' && word !== 'off') throw new InvalidArgumentError('accepted: on, off');
      const marked = await markGolden(dir, word === 'on', { signal: io.signal });
      io.result({ marked }, () => `${marked} marked`);
    });
  pool
    .command('metrics')
    .description('print metrics for Prometheus, or serve them')
    .option(
      '--listen <address>',
      'serve them at a Unix socket path, 127.0.0.1:PORT or [::1]:PORT',
      parseAddress,
    )
    .action(({ listen }: { listen?: MetricsAddress | undefined }) => metrics(io, listen));
}
