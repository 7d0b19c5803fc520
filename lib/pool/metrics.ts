// SPDX-License-Identifier: MIT
/**
 * The daemon's metrics for Prometheus.
 * @module
 */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { describeError, UsageError } from '../errors.ts';
import { readPoolStatus, type PoolOptions, type PoolStatus } from './client.ts';

const PREFIX = 'criu_cuda_pool';

interface Metric {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  samples: { labels?: Record<string, string> | undefined; value: number }[];
}

const escapeLabel = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function labelText(labels: Record<string, string> = {}): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function metricText({ name, type, help, samples }: Metric): string {
  const full = `${PREFIX}_${name}`;
  return [
    `# HELP ${full} ${help}`,
    `# TYPE ${full} ${type}`,
    ...samples.map(({ labels, value }) => `${full}${labelText(labels)} ${value}`),
  ].join('\n');
}

/** Formats metrics as Prometheus text, version 0.0.4; without a status, only that the daemon is down. */
export function formatPoolMetrics(status: PoolStatus | undefined): string {
  const up: Metric = {
    name: 'up',
    type: 'gauge',
    help: '1 if the pool daemon answers, otherwise 0.',
    samples: [{ value: status ? 1 : 0 }],
  };
  if (!status) return `${metricText(up)}\n`;
  const perDevice = (
    name: string,
    help: string,
    value: (device: PoolStatus['devices'][0]) => number,
  ): Metric => ({
    name,
    type: 'gauge',
    help,
    samples: status.devices.map((device) => ({ labels: { uuid: device.uuid }, value: value(device) })),
  });
  const metrics: Metric[] = [
    up,
    perDevice('device_memory_bytes', 'Total memory of the GPU in bytes.', (device) => device.totalBytes),
    perDevice('device_free_bytes', 'Free memory of the GPU in bytes.', (device) => device.freeBytes),
    perDevice(
      'resident_bytes',
      'Device memory that resident images use, in bytes.',
      (device) => device.residentBytes,
    ),
    {
      name: 'budget_bytes',
      type: 'gauge',
      help: 'Limit of device memory for resident images per GPU, in bytes; 0 means no limit.',
      samples: [{ value: status.budgetBytes }],
    },
    {
      name: 'images',
      type: 'gauge',
      help: 'Number of resident images.',
      samples: [{ value: status.images.length }],
    },
    ...Object.entries(status.counters).map(([name, value]): Metric => ({
      name: `${name}_total`,
      type: 'counter',
      help: `${name.replaceAll('_', ' ')} since the daemon started.`,
      samples: [{ value }],
    })),
  ];
  return `${metrics.map(metricText).join('\n')}\n`;
}

/** Path of a Unix socket, or a loopback address with a port; port 0 means any free one. */
export type MetricsAddress =
  | {
      /** Path of a Unix socket; a socket that an earlier server left there is replaced. */
      socketPath: string;
    }
  | {
      /** A loopback address. */
      host: '127.0.0.1' | '::1';
      /** 0 takes any free port. */
      port: number;
    };

/** Removes the socket that an earlier server left; any other file is not ours to remove. */
function removeSocket(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isSocket()) throw new UsageError(`${path} exists and is not a socket`);
  rmSync(path, { force: true });
}

/**
 * Serves `GET /metrics` on a Unix socket or a loopback port. The caller closes the server.
 * @throws {@link UsageError} the path exists and is not a socket
 */
export async function servePoolMetrics(address: MetricsAddress, options: PoolOptions = {}): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end('GET /metrics\n');
      return;
    }
    readPoolStatus(options)
      .catch((error: unknown) => {
        response.setHeader('x-error', encodeURIComponent(describeError(error)));
        return undefined;
      })
      .then((status) => {
        response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
        response.end(formatPoolMetrics(status));
      })
      .catch(() => response.destroy());
  });
  if ('socketPath' in address) {
    removeSocket(address.socketPath);
    server.listen(address.socketPath);
  } else {
    server.listen(address.port, address.host);
  }
  await once(server, 'listening');
  return server;
}
