// SPDX-License-Identifier: MIT
/**
 * Restores a tree in namespaces of its own, beside others of the same checkpoint. Criu runs in them, too, so that images of
 * any tree can be restored so, and a dump of the isolated tree has images like those that it came from.
 * @module
 */
import { resolve } from 'node:path';
import { readListeningPorts } from '../criu/index.ts';
import { UsageError } from '../errors.ts';
import {
  chooseLastPid,
  findPrivateFiles,
  readOutsidePids,
  runInside,
  withoutDaemon,
  type InsideReport,
  type PrivateFiles,
  type Reviver,
} from '../isolated/index.ts';
import { bringBackFiles } from '../kept/index.ts';
import {
  becomeSubreaper,
  decodeWaitStatus,
  isAlive,
  sendSignal,
  waitForExit,
  type ExitStatus,
  type WaitOptions,
} from '../process/index.ts';
import { RestoreError } from './error.ts';
import type { RestorableImages } from './images.ts';
import type { RestoredProcess, RestoreOptions, RestoreResult } from './restore.ts';

/** How long a killed process may take to end. */
const KILL_MS = 10_000;

/** How to isolate a tree. */
export interface IsolationOptions {
  /** Whether it gets a network of its own, too. @default false */
  network?: boolean | undefined;
}

/** An isolated tree. */
export interface Isolation {
  /** Pid of the first process of its pid namespace, with which all of it ends. */
  initPid: number;
  /** Pid of the root task inside: the one that it had at the dump. */
  insidePid: number;
  /** Whether it has a network of its own, in which nothing but itself can connect to it. */
  network: boolean;
  /** TCP ports at which it listens. */
  ports: number[];
}

const revivers: Readonly<Record<string, Reviver>> = {
  RestoreError: ({ code, message, hint }) =>
    new RestoreError(code as RestoreError['code'], message, { hint }),
};

const hasOwnNetwork = ({ isolated }: RestoreOptions): boolean =>
  typeof isolated === 'object' && isolated.network === true;

function checkOptions(options: RestoreOptions, { ownPidNamespace }: RestorableImages): void {
  if (options.leaveStopped === true)
    throw new UsageError('a tree that is left stopped cannot be isolated', 'restore without one of the two');
  if (ownPidNamespace)
    throw new UsageError(
      'the tree had a pid namespace of its own at the dump, and gets one at every restore',
      'restore without isolation',
    );
}

function flagsFor(
  options: RestoreOptions,
  images: RestorableImages,
  { dirs, files }: PrivateFiles,
): string[] {
  const used = images.tasks.flatMap(({ pid, threads }) => [pid, ...threads]);
  return [
    ...(hasOwnNetwork(options) ? ['--network'] : []),
    ...['--last-pid', String(chooseLastPid(used))],
    ...dirs.flatMap((dir) => ['--private-dir', dir]),
    ...files.flatMap((file) => ['--private', file]),
  ];
}

/** Options that are data, with paths that mean the same in another directory. */
function dataOf(options: RestoreOptions, imagesDir: string): object {
  const { workDir, log, keepShared, criu, libdir } = options;
  const absolute = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : resolve(path);
  return {
    ...options,
    ...{ signal: undefined, onProgress: undefined, env: undefined, isolated: undefined },
    imagesDir,
    workDir: absolute(workDir),
    log: absolute(log),
    libdir: absolute(libdir),
    criu: criu?.includes('/') === true ? absolute(criu) : criu,
    keepShared: keepShared?.map((path) => resolve(path)),
  };
}

/** Waits for something that cannot be given up, for as long as the caller wants. */
function within<T>(result: Promise<T>, { signal, timeoutMs }: WaitOptions): Promise<T | undefined> {
  signal?.throwIfAborted();
  return new Promise((finish, fail) => {
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            finish(undefined);
          }, timeoutMs);
    const onAbort = (): void => {
      fail(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    void result.then(finish).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    });
  });
}

function createProcess(
  result: RestoreResult,
  { initPid, insidePid }: Isolation,
  report: InsideReport,
): RestoredProcess {
  const end = async (): Promise<ExitStatus> => {
    const status = await report.end(insidePid);
    return status === undefined ? { kind: 'unknown' } : decodeWaitStatus(status);
  };
  const killNow = (): void => {
    sendSignal(initPid, 'SIGKILL');
  };
  return {
    result,
    wait: (options = {}) => within(end(), options),
    kill: async (graceMs = 5000) => {
      if (graceMs > 0 && isAlive(result.pid) && sendSignal(result.pid, 'SIGTERM')) {
        sendSignal(result.pid, 'SIGCONT');
        await within(end(), { timeoutMs: graceMs });
      }
      killNow();
      await waitForExit(initPid, { timeoutMs: KILL_MS });
    },
    killNow,
    wake: () => Promise.reject(new UsageError(`${result.pid} is not stopped`)),
  };
}

/** The result with pids that mean something here. */
function outsideResult(result: RestoreResult, isolated: Isolation): RestoreResult {
  const pids = readOutsidePids(isolated.initPid);
  const outside = <T extends { pid: number }>(one: T): T => ({ ...one, pid: pids.get(one.pid) ?? one.pid });
  return {
    ...result,
    pid: pids.get(result.pid) ?? isolated.initPid, // if it has ended by now
    tasks: result.tasks.map(outside),
    memory: result.memory.map(outside),
    isolated,
  };
}

/**
 * Restores a tree isolated. After a failure no restored process is left running.
 * @throws what a restore throws
 */
export async function restoreIsolated(
  options: RestoreOptions,
  imagesDir: string,
  images: RestorableImages,
): Promise<RestoredProcess> {
  checkOptions(options, images);
  const { signal, onProgress, keepShared } = options;
  const env = { ...options.env, ...(hasOwnNetwork(options) ? withoutDaemon : {}) };
  const own = findPrivateFiles(imagesDir);
  // what is not private is the machine's: brought back where everybody sees it
  const broughtBack = await bringBackFiles(imagesDir, { keepShared, leftOut: own.files, signal });
  becomeSubreaper();
  const { result, report } = await runInside<RestoreResult>({
    operation: 'restore',
    flags: flagsFor(options, images, own),
    options: dataOf(options, imagesDir),
    ...{ env, signal, onProgress, revivers },
  });
  const initPid = report.initPid ?? 0;
  const network = hasOwnNetwork(options);
  const isolated = { initPid, insidePid: result.pid, network, ports: readListeningPorts(imagesDir) };
  const warnings = own.sharedSockets.map(
    (path) => `${path} leads to this copy from now on: it is not in a directory of its own`,
  );
  const seen = outsideResult(result, isolated);
  return createProcess(
    {
      ...seen,
      broughtBack: [...broughtBack, ...result.broughtBack],
      warnings: [...warnings, ...result.warnings],
    },
    isolated,
    report,
  );
}
