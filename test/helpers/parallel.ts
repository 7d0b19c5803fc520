// SPDX-License-Identifier: MIT
/**
 * For tests of variant `parallel`: a machine with one application under the interceptor, and what must be true after
 * failures.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { buildDir, interceptorLibrary } from '../../lib/paths.ts';
import { variantDir } from '../../lib/variant.ts';
import { readStat } from '../../lib/process/index.ts';
import type { Workload } from '../../lib/workload/index.ts';
import { Machine, type CriuOptions, type CriuRun, type StatusEvent } from './machine.ts';

/** Five allocations that the interceptor moves (35 MiB) and one that stays with the driver. */
const ARGS = ['--alloc', '8Mx4', '--alloc', '1M', '--alloc', '3M'];

export const testTool = (name: string): string => join(buildDir(), 'test-tools', name);

export class ParallelMachine extends Machine {
  readonly #events: StatusEvent[] = [];

  startIntercepted(
    env: Record<string, string> = {},
    args: readonly string[] = ARGS,
    under?: readonly string[],
  ): Promise<Workload> {
    return this.start({ args, under, env: { LD_PRELOAD: interceptorLibrary(), ...env } });
  }

  /** Like `dump`, but criu may be killed; the exit code is then -1. */
  async tryDump(workload: Workload, options: CriuOptions = {}): Promise<CriuRun> {
    return this.#attempt(this.dump(workload, { libdir: variantDir('parallel'), ...options }));
  }

  async tryRestore(options: CriuOptions = {}): Promise<CriuRun> {
    return this.#attempt(this.restore({ libdir: variantDir('parallel'), ...options }));
  }

  async #attempt(run: Promise<CriuRun>): Promise<CriuRun> {
    const result = await run.catch(() => ({
      ...{ exitCode: -1, stdout: '', stderr: '', durationMs: 0 },
      ...{ log: '', status: this.takeStatus() },
    }));
    this.#events.push(...result.status);
    return result;
  }

  /** Manifests of GPU images; without one, a directory does not look complete. */
  manifests(imagesDir = this.imagesDir): string[] {
    return readdirSync(imagesDir).filter((name) => /^cuda-\d+\.img$/.test(name));
  }

  /** The stripes of GPU images. */
  stripes(imagesDir = this.imagesDir): string[] {
    return readdirSync(imagesDir).filter((name) => /^cuda-\d+-\d+\.img$/.test(name));
  }

  /** Every file of the images directory. */
  allFiles(imagesDir = this.imagesDir): string[] {
    return readdirSync(imagesDir);
  }

  /** All files that are not CRIU's: the index, manifests, stripes, page files, and those with temporary names. */
  ownFiles(imagesDir = this.imagesDir): string[] {
    return readdirSync(imagesDir).filter((name) => name.startsWith('cuda'));
  }

  /** Every pool and watcher of these runs has ended, and no socket is left. */
  async expectNothingLeft(): Promise<void> {
    const ours = (): number[] =>
      [...this.#events, ...this.readStatus()]
        .filter((e) => e.event === 'pool' || e.event === 'watcher')
        .flatMap(({ pid }) => pid ?? []);
    const alive = (): number[] => ours().filter((pid) => (readStat(pid)?.state ?? 'Z') !== 'Z');
    await expect.poll(alive).toEqual([]);
    const sockets = (): string[] => readdirSync(this.runDir).filter((name) => name.endsWith('.sock'));
    if (existsSync(this.runDir)) await expect.poll(sockets).toEqual([]);
  }
}

/** Checksum and addresses of all device memory. */
export async function snapshot(workload: Workload): Promise<string> {
  return `${await workload.verify()} ${await workload.addresses()}`;
}

/** What the plugin and CRIU's errors say in a log. */
export function errorsIn(log: string): string {
  const lines = log.split('\n').filter((line) => /cuda_plugin: |Error/.test(line));
  return lines.map((line) => line.replace(/^\(\d+\.\d+\) */, '')).join('\n');
}
