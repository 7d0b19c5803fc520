// SPDX-License-Identifier: MIT
/**
 * Takes over the helper that was started before Node, if it is exactly the one that would be started now, and ends it
 * otherwise: criu-cuda-start only guesses what is needed.
 * @module
 */
import { closeSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Environment } from '../paths.ts';
import {
  MOST_OF_WORDS,
  readBeginning,
  waitForExit,
  waitUntilCollected,
  watchProcess,
} from '../process/index.ts';
import { takeLaunched, type LaunchedHelper } from '../start/launched.ts';
import type { EarlyHelper } from './early-helper.ts';

/** How long a helper that is ended may take, while a driver call is in progress. Milliseconds. */
const END_MS = 10_000;

/** The words that the kernel keeps of a process; one that has ended has none. */
const wordsOf = ({ pid }: LaunchedHelper, file: 'cmdline' | 'environ'): string[] =>
  readBeginning(`/proc/${pid}/${file}`, MOST_OF_WORDS).split('\0').slice(0, -1);

/** Whether it runs the program, and loads the directory, or nothing. */
function isRunning(helper: LaunchedHelper, program: string, imagesDir: string | undefined): boolean {
  const [path, option, dir] = wordsOf(helper, 'cmdline');
  // it was started in our directory, by the path that was typed
  const isOurs = path !== undefined && resolve(path) === program;
  return isOurs && option === '--early' && (dir && resolve(dir)) === imagesDir;
}

/** Whether it was started with exactly these variables. */
function hasEnvironment(helper: LaunchedHelper, env: Environment): boolean {
  const wanted = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return isDeepStrictEqual(wordsOf(helper, 'environ').sort(), wanted.sort());
}

function end(helper: LaunchedHelper): void {
  if (helper.pipe === undefined) return;
  closeSync(helper.pipe);
  helper.pipe = undefined;
}

/** Node has not started it, and does not collect it. */
function collect({ pid }: LaunchedHelper): void {
  waitForExit(pid).catch(() => undefined);
}

/** Ends a helper, and waits until its pids and its device memory are free: those who need them come next. */
export async function endNow(helper: EarlyHelper): Promise<void> {
  const watched = watchProcess(helper.pid);
  helper.end();
  await watched?.ended({ timeoutMs: END_MS });
  watched?.close();
  await waitUntilCollected(helper.pid, END_MS);
}

/**
 * @param program `undefined`: no helper is of use
 * @param imagesDir an absolute path; nothing for a dump
 * @returns `undefined` if there is no such helper, or any more; another one has ended
 */
export async function takeStartedHelper(
  program: string | undefined,
  env: Environment,
  imagesDir?: string,
): Promise<EarlyHelper | undefined> {
  const helper = takeLaunched();
  if (!helper) return undefined;
  collect(helper);
  const isWanted =
    helper.pipe !== undefined &&
    program !== undefined &&
    isRunning(helper, program, imagesDir) &&
    hasEnvironment(helper, env);
  const started = {
    pid: helper.pid,
    end: () => {
      end(helper);
    },
  };
  if (isWanted) return started;
  await endNow(started);
  return undefined;
}

/** Ends a helper that was started before Node, where none is of use. */
export async function endStartedHelper(): Promise<void> {
  await takeStartedHelper(undefined, {});
}
