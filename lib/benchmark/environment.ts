// SPDX-License-Identifier: MIT
/**
 * Describes where a measurement was made: two results are comparable only if these facts are the same.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { execResult } from '../exec.ts';
import type { PageCache } from './dump-restore.ts';

export interface ImageStore {
  path: string;
  /** File system, for example `tmpfs`. */
  type: string;
  /** Mount options, for example `rw,relatime,huge=always`. */
  options: string;
}

export interface BenchmarkEnvironment {
  /** ISO 8601. */
  date: string;
  kernel: string;
  cpus: string;
  /** Host memory in bytes. */
  memory: number;
  /** Transparent huge pages: always, madvise or never. */
  transparentHugePages: string;
  imageStore: ImageStore;
  /** All image stores, if a matrix uses more than one. */
  imageStores?: ImageStore[] | undefined;
  /** State of the page cache before each restore; absent in older results, where it was `warm`. */
  pageCache?: PageCache | undefined;
  criu: string;
  /** From nvidia-smi; absent on the software driver. */
  gpu?: string | undefined;
  driver?: string | undefined;
  /** Whether it was measured on the software driver, where times mean nothing. */
  software: boolean;
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Finds the mount of a path: the longest mount point that is a prefix of it. */
export function findMount(path: string, mounts: string): ImageStore {
  let best = { mountPoint: '', type: 'unknown', options: '' };
  for (const line of mounts.split('\n')) {
    const [, mountPoint = '', type = '', options = ''] = line.split(' ');
    const holds =
      path === mountPoint || path.startsWith(mountPoint.endsWith('/') ? mountPoint : `${mountPoint}/`);
    if (mountPoint !== '' && holds && mountPoint.length >= best.mountPoint.length) {
      best = { mountPoint, type, options };
    }
  }
  return { path, type: best.type, options: best.options };
}

function hugePages(): string {
  const text = readIfThere('/sys/kernel/mm/transparent_hugepage/enabled');
  return /\[(\w+)\]/.exec(text)?.[1] ?? 'unknown';
}

async function askGpu(): Promise<{ gpu: string; driver: string } | undefined> {
  const args = ['--query-gpu=name,driver_version', '--format=csv,noheader'];
  const answer = await execResult('nvidia-smi', args).catch(() => undefined);
  const [gpu, driver] = answer?.stdout.split('\n')[0]?.split(', ') ?? [];
  return gpu !== undefined && driver !== undefined ? { gpu, driver } : undefined;
}

export async function readEnvironment(
  imagesDir: string,
  criu: { path: string; version: string | undefined },
  software: boolean,
): Promise<BenchmarkEnvironment> {
  const gpu = software ? undefined : await askGpu();
  return {
    date: new Date().toISOString(),
    kernel: release(),
    cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory: totalmem(),
    transparentHugePages: hugePages(),
    imageStore: findMount(imagesDir, readIfThere('/proc/self/mounts')),
    criu: criu.version ?? 'unknown',
    ...(gpu ?? {}),
    software,
  };
}
