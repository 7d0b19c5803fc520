// SPDX-License-Identifier: MIT
/**
 * Dumps a tree that was restored isolated: inside its namespaces, so that the images are like those that it came from.
 * @module
 */
import { existsSync, readdirSync, readlinkSync, rmdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { makeDirectory } from '../directory.ts';
import {
  readOutsidePids,
  runInside,
  withoutDaemon,
  type IsolatedTree,
  type Reviver,
} from '../isolated/index.ts';
import { watchProcess } from '../process/index.ts';
import type { CheckpointOptions, CheckpointResult } from './checkpoint.ts';
import { CheckpointError } from './error.ts';

const revivers: Readonly<Record<string, Reviver>> = {
  CheckpointError: ({ code, message, hint }) =>
    new CheckpointError(code as CheckpointError['code'], message, { hint }),
};

/** How long the namespaces may take to end after the tree. */
const END_MS = 10_000;

function dataOf(options: CheckpointOptions, imagesDir: string, insidePid: number): object {
  const { workDir, criu, libdir } = options;
  const absolute = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : resolve(path);
  return {
    ...options,
    ...{ signal: undefined, onProgress: undefined, env: undefined },
    ...{ pid: insidePid, imagesDir },
    workDir: absolute(workDir),
    libdir: absolute(libdir),
    criu: criu?.includes('/') === true ? absolute(criu) : criu,
  };
}

const sharesNetwork = (pid: number): boolean =>
  readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net');

async function waitForEnd(initPid: number): Promise<void> {
  const watched = watchProcess(initPid);
  await watched?.ended({ timeoutMs: END_MS });
  watched?.close();
}

/** @throws what a checkpoint throws */
export async function checkpointIsolated(
  options: CheckpointOptions,
  { initPid, pid, insidePid }: IsolatedTree,
): Promise<CheckpointResult> {
  const { signal, onProgress, leaveRunning = false } = options;
  const env = { ...options.env, ...(sharesNetwork(initPid) ? {} : withoutDaemon) };
  const imagesDir = resolve(options.imagesDir);
  const isNew = !existsSync(imagesDir);
  // /tmp inside is another one
  makeDirectory(imagesDir, 0o700);
  const pids = readOutsidePids(initPid);
  const outside = <T extends { pid: number }>(one: T): T => ({ ...one, pid: pids.get(one.pid) ?? one.pid });
  try {
    const { result } = await runInside<CheckpointResult>({
      operation: 'checkpoint',
      flags: ['--enter', String(initPid), '--carry', imagesDir],
      options: dataOf(options, imagesDir, insidePid),
      ...{ env, signal, onProgress, revivers },
    });
    if (!leaveRunning) await waitForEnd(initPid);
    return { ...result, pid, tasks: result.tasks.map(outside), memory: result.memory.map(outside) };
  } catch (error) {
    if (isNew && readdirSync(imagesDir).length === 0) rmdirSync(imagesDir);
    throw error;
  }
}
