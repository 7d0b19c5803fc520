// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { monotonicMs } from '../../clock.ts';
import { keepTemporaryDirectory, makeTemporaryDirectory, removeTemporaryDirectory } from '../../directory.ts';
import { ToolkitError, UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { dropImages, receiveImages, type Reception } from '../../pool/index.ts';
import { cacheImage, type ImageCheck, type PullResult, type StripeReceiver } from '../../registry/index.ts';
import {
  isServedByDaemon,
  needsLinks,
  restore,
  RestoreError,
  type RestoredProcess,
} from '../../restore/index.ts';
import { loadSettings } from '../../settings/index.ts';
import { pullText, pullWarnings, registryOptions, type CacheFlags } from '../image-registry.ts';
import { showWarnings } from '../operation-options.ts';
import {
  endingTogether,
  endRestored,
  restoreOptions,
  runRestore,
  showRestored,
  type RestoreFlags,
} from '../process/restore.ts';

/** How an image of a registry is restored. */
export interface GoldenImageFlags extends CacheFlags {
  variant?: string | undefined;
  libdir?: string | undefined;
  detach?: boolean | undefined;
  log?: string | undefined;
  isolated?: boolean | undefined;
  isolatedNetwork?: boolean | undefined;
  workDir?: string | undefined;
}

/** What only an image of a registry has, in the words of the command line. */
const OWN: readonly (readonly [keyof GoldenImageFlags, string])[] = [
  ...(['detach', 'log', 'isolated', 'identity', 'cache', 'authfile', 'verify', 'libdir'] as const).map(
    (name) => [name, `--${name}`] as const,
  ),
  ...([
    ['isolatedNetwork', '--isolated-network'],
    ['workDir', '--work-dir'],
    ['cacheBudget', '--cache-budget'],
    ['plainHttp', '--plain-http'],
    ['peer', '--peer'],
    ['peersFile', '--peers-file'],
    ['peerKey', '--peer-key'],
  ] as const),
];

/** @throws {@link UsageError} a container was named, and an option that only an image of a registry has */
export function refuseImageOptions(name: string, flags: GoldenImageFlags): void {
  const given = OWN.find(([flag]) => flags[flag] !== undefined);
  if (given === undefined) return;
  throw new UsageError(`${given[1]} is for an image in a registry, and ${name} is a container`);
}

/** The GPUs of this machine that take the place of those of the dump. */
function deviceMapOf({ deviceMap }: ImageCheck): Record<string, string> | undefined {
  if (deviceMap.length === 0) return undefined;
  return { CRIU_CUDA_DEVICE_MAP: deviceMap.map(([from, to]) => `${from}=${to}`).join(',') };
}

/** Whether the restore uses other GPUs than those of the dump: what the pool loads onto those would be of no use. */
const hasOtherGpus = ({ deviceMap }: ImageCheck): boolean =>
  deviceMap.length > 0 || loadSettings(process.env).settings.CRIU_CUDA_DEVICE_MAP !== '';

/** A daemon that will serve the restore loads device memory while it arrives; where it cannot, the restore says why. */
async function beginLoad(
  dir: string,
  check: ImageCheck,
  { variant, libdir, isolatedNetwork }: GoldenImageFlags,
  signal: AbortSignal,
): Promise<Reception | undefined> {
  try {
    // no daemon is reached from another network
    if (hasOtherGpus(check) || isolatedNetwork === true || !isServedByDaemon(dir, { variant, libdir }))
      return undefined;
    return await receiveImages(dir, { signal });
  } catch (error) {
    if (error instanceof ToolkitError) return undefined;
    throw error;
  }
}

/** What is done while the image arrives. */
interface Meanwhile {
  /** The load of its device memory. */
  reception?: Reception;
  /** Its restore, once it was begun. */
  attempt?: Attempt;
}

/** One restore. */
interface Attempt {
  flags: RestoreFlags;
  /** By the monotonic clock. */
  startedMs: number;
  /** Nothing is left of one that has failed. */
  restored?: RestoredProcess;
  failure?: Error;
}

function restoreFlags(imagesDir: string, flags: GoldenImageFlags, env: RestoreFlags['env']): RestoreFlags {
  const { variant, libdir, detach, log, isolated, isolatedNetwork } = flags;
  // jobs that restore one image at the same time have one images directory
  const workDir = flags.workDir ?? makeTemporaryDirectory('work-', dirname(dirname(imagesDir)));
  return {
    ...{ imagesDir, workDir, criuOptions: [], env },
    ...{ variant, libdir, detach, log, isolated, isolatedNetwork },
  };
}

function removeOwnWorkDir(given: GoldenImageFlags, { workDir }: RestoreFlags): void {
  if (given.workDir === undefined && workDir !== undefined) removeTemporaryDirectory(workDir);
}

/** Criu's log stays after a failure, and the user is told where. */
function endFailed(io: Io, given: GoldenImageFlags, flags: RestoreFlags, error: unknown): void {
  const { workDir } = flags;
  if (given.workDir !== undefined || workDir === undefined) return;
  const log = join(workDir, 'restore.log');
  if (!(error instanceof RestoreError) || !existsSync(log)) {
    removeTemporaryDirectory(workDir);
    return;
  }
  keepTemporaryDirectory(workDir);
  if (!io.json && error.hint?.includes(log) !== true) io.err(`the log is ${log}`);
}

/** @returns `undefined` where no directory can be made for it: the restore of the whole image says why */
function beginAttempt(dir: string, given: GoldenImageFlags, env: RestoreFlags['env']): Attempt | undefined {
  try {
    return { flags: restoreFlags(dir, given, env), startedMs: monotonicMs() };
  } catch {
    return undefined;
  }
}

/** Loads device memory while it arrives, and restores while the last of it does. */
async function receive(
  io: Io,
  dir: string,
  check: ImageCheck,
  given: GoldenImageFlags,
  meanwhile: Meanwhile,
  signal: AbortSignal,
): Promise<StripeReceiver | undefined> {
  const reception = await beginLoad(dir, check, given, signal);
  if (!reception) return undefined;
  meanwhile.reception = reception;
  return {
    arrived: (name) => {
      reception.arrived(name);
    },
    // a load that fails is begun again by the restore, which reports it
    failed: new Promise<never>(() => undefined),
    restore: async (stop) => {
      // files that come later would not be there
      if (needsLinks(dir)) return;
      // no process may run before all of its memory has come
      const attempt = beginAttempt(dir, given, { CRIU_CUDA_WAIT: '1' });
      if (!attempt) return;
      meanwhile.attempt = attempt;
      try {
        attempt.restored = await restore({ ...restoreOptions(attempt.flags, io), signal: stop });
      } catch (error) {
        attempt.failure = error instanceof Error ? error : new Error(String(error));
        removeOwnWorkDir(given, attempt.flags);
      }
    },
  };
}

async function restoreImage(io: Io, ref: string, flags: GoldenImageFlags): Promise<void> {
  const meanwhile: Meanwhile = {};
  const arriving = new AbortController();
  const stop = (): void => {
    arriving.abort(io.signal.reason);
  };
  io.signal.addEventListener('abort', stop, { once: true });
  const pulled = await withProgress(io, `pull of ${ref}`, (report) =>
    cacheImage(ref, {
      ...registryOptions(flags, io),
      mustRestore: true,
      onProgress: bytesFor(io, report),
      receive: (dir, check) => receive(io, dir, check, flags, meanwhile, arriving.signal),
    }),
  ).catch(async (error: unknown) => {
    meanwhile.reception?.close();
    const { attempt } = meanwhile;
    if (attempt?.restored) {
      await endRestored(attempt.restored).finally(() => {
        removeOwnWorkDir(flags, attempt.flags);
      });
    }
    throw error;
  });
  if (!io.json) io.err(pullText(pulled));
  showWarnings(io, pullWarnings(pulled));
  // the load has everything, and ends also after Ctrl-C: only then does the pool know its images by this directory
  io.signal.removeEventListener('abort', stop);
  const loaded = meanwhile.reception?.complete().catch(() => undefined);
  const { attempt } = meanwhile;
  // what a failed one has taken is free then
  if (attempt?.failure) await loaded;
  try {
    await (attempt?.restored
      ? showAttempt(io, pulled, flags, attempt, attempt.restored)
      : restorePulled(io, pulled, flags, attempt));
  } catch (error) {
    await loaded;
    if (loaded) await dropImages(pulled.imagesDir).catch(() => undefined);
    throw error;
  }
  await loaded;
}

/** Says what was restored while it arrived. */
async function showAttempt(
  io: Io,
  pulled: PullResult,
  given: GoldenImageFlags,
  { flags, startedMs }: Attempt,
  restored: RestoredProcess,
): Promise<void> {
  restored.result.imagesDir = pulled.imagesDir;
  try {
    await showRestored(io, { ...flags, warnings: pullWarnings(pulled) }, restored, startedMs);
  } finally {
    removeOwnWorkDir(given, flags);
  }
}

/** Restores when all of it is there. */
async function restorePulled(
  io: Io,
  pulled: PullResult,
  given: GoldenImageFlags,
  failed: Attempt | undefined,
): Promise<void> {
  io.signal.throwIfAborted();
  const again = failed?.failure
    ? [`the restore that began while blocks arrived is tried again: ${failed.failure.message}`]
    : [];
  showWarnings(io, again);
  const flags = restoreFlags(pulled.imagesDir, given, deviceMapOf(pulled.check));
  try {
    await runRestore(io, { ...flags, warnings: [...pullWarnings(pulled), ...again] });
  } catch (error) {
    endFailed(io, given, flags, error);
    throw error;
  }
  removeOwnWorkDir(given, flags);
}

/** Restores an image from the node's cache, which gets it first, and stays until its processes end. */
export const restoreGoldenImage = (io: Io, ref: string, flags: GoldenImageFlags): Promise<void> =>
  endingTogether(io, () => restoreImage(io, ref, flags));
