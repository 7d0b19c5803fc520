// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ToolkitError, UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { dropImages, receiveImages, type Reception } from '../../pool/index.ts';
import { cacheImage, type ImageCheck, type PullResult } from '../../registry/index.ts';
import { isServedByDaemon } from '../../restore/index.ts';
import { loadSettings } from '../../settings/index.ts';
import { pullText, registryOptions, type CacheFlags } from '../image-registry.ts';
import { showWarnings } from '../operation-options.ts';
import { runRestore } from '../process/restore.ts';

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

/** Restores an image from the node's cache, which gets it first, and stays until its processes end. */
export async function restoreGoldenImage(io: Io, ref: string, flags: GoldenImageFlags): Promise<void> {
  let reception: Reception | undefined;
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
      receive: async (dir, check) => {
        const begun = await beginLoad(dir, check, flags, arriving.signal);
        reception = begun;
        if (!begun) return undefined;
        const arrived = (name: string): void => {
          begun.arrived(name);
        };
        // a load that fails is begun again by the restore, which reports it
        return { arrived, failed: new Promise<never>(() => undefined) };
      },
    }),
  ).catch((error: unknown) => {
    reception?.close();
    throw error;
  });
  if (!io.json) io.err(pullText(pulled));
  showWarnings(io, warningsOf(pulled));
  // the load has everything, and ends also after Ctrl-C: only then does the pool know its images by this directory
  io.signal.removeEventListener('abort', stop);
  const loaded = reception?.complete().catch(() => undefined);
  try {
    await restorePulled(io, pulled, flags);
  } catch (error) {
    await loaded;
    if (loaded) await dropImages(pulled.imagesDir).catch(() => undefined);
    throw error;
  }
  await loaded;
}

const warningsOf = ({ warnings, check }: PullResult): string[] => [...warnings, ...check.warnings];

async function restorePulled(io: Io, pulled: PullResult, flags: GoldenImageFlags): Promise<void> {
  const { imagesDir, check } = pulled;
  const { variant, libdir, detach, log, isolated, isolatedNetwork } = flags;
  // jobs that restore one image at the same time have one images directory
  const own =
    flags.workDir === undefined ? mkdtempSync(join(dirname(dirname(imagesDir)), 'work-')) : undefined;
  await runRestore(io, {
    ...{ imagesDir, workDir: flags.workDir ?? own, criuOptions: [] },
    ...{ variant, libdir, detach, log, isolated, isolatedNetwork, env: deviceMapOf(check) },
    warnings: warningsOf(pulled),
  });
  if (own !== undefined) rmSync(own, { recursive: true, force: true });
}
