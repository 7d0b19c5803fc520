// SPDX-License-Identifier: MIT
/**
 * Everything that a restore needs, looked at before anything is changed: what is in its way is named all at once.
 * @module
 */
import { resolve } from 'node:path';
import {
  checkMaySuspendFilters,
  checkWorkDir,
  imagesHaveFilter,
  inventoryNeeds,
  readFileNames,
  resolveOperation,
  type Operation,
} from '../criu/index.ts';
import { directoryProblem } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { InterruptedError, ToolkitError } from '../errors.ts';
import { withDriverOf } from '../gpu/index.ts';
import { lockImages, type ImagesLock } from '../images-lock.ts';
import { checkCheckpoint } from '../images/index.ts';
import { compareFiles, readOrigin, type Step } from '../kept/index.ts';
import { checkRights } from '../machine/index.ts';
import type { EarlyHelper } from '../pool/index.ts';
import { checkClocks } from './clocks.ts';
import { beginEarlyLoad } from './early-load.ts';
import { RestoreError } from './error.ts';
import { checkPidsFree, readRestorableImages, takePids, type RestorableImages } from './images.ts';
import { checkPortsFree } from './port-taken.ts';
import type { RestoreOptions } from './restore.ts';

/** What a restore can begin with. */
export interface Prepared {
  images: RestorableImages;
  options: RestoreOptions;
  operation: Operation;
  /** What has to be done to files. */
  steps: Step[];
  /** Ports at which it listens and that the kernel keeps. */
  keptPorts: number[];
}

/** Called with what a load of device memory needs, before the checks that take long. */
export type OnImages = (images: RestorableImages, options: RestoreOptions) => Promise<void>;

/** What a look has found. */
export type Look = { [Part in keyof Prepared]?: Prepared[Part] | undefined } & {
  /** What is in the way, in the order of the checks. */
  problems: ToolkitError[];
};

/** With a network namespace of their own, ports are free. */
const hasOwnNetwork = (words: readonly string[] = []): boolean =>
  words.some((word) => /^--(?:empty|join)-ns\b/.test(word));

/**
 * Makes every check, also after one has failed.
 * @param withPlain see `CompareOptions`
 * @param onImages not called when the rights or the images are in the way
 * @throws only what is no {@link ToolkitError}, or an interruption
 */
export async function lookAtRestore(
  given: RestoreOptions,
  withPlain = false,
  onImages?: OnImages,
): Promise<Look> {
  const found: ToolkitError[][] = []; // by each check, in the order in which they begin
  const attempt = async <T>(run: () => T | Promise<T>): Promise<T | undefined> => {
    const own: ToolkitError[] = [];
    found.push(own);
    try {
      return await run();
    } catch (error) {
      if (error instanceof InterruptedError) throw error;
      given.signal?.throwIfAborted();
      if (error instanceof ToolkitError) own.push(error);
      else if (found.flat().length === 0) throw error; // else it may be due to the rights that are missing
      return undefined;
    }
  };
  const imagesDir = resolve(given.imagesDir);
  await attempt(() => {
    checkRights('a restore');
  });
  const images = await attempt(() => readRestorableImages(imagesDir));
  if (!images) return { problems: found.flat() };
  const { tasks, inventory, root } = images;
  const env = await withDriverOf(given.env, () => readFileNames(imagesDir));
  const options = { ...given, env };
  if (found.flat().length === 0) await onImages?.(images, options);
  const operation = await attempt(async () => {
    const operation = await resolveOperation(options, { needs: inventoryNeeds(imagesDir, inventory) });
    checkWorkDir(operation, 'pass --work-dir DIR (workDir): log and statistics of the restore go there');
    return operation;
  });
  await attempt(() => {
    if (imagesHaveFilter(imagesDir)) checkMaySuspendFilters(`restore ${root.pid}`);
  });
  await attempt(() => checkCheckpoint(imagesDir)); // CRIU would notice only halfway
  await attempt(() => {
    checkClocks(imagesDir, given.extraArgs);
  });
  await attempt(() => checkPidsFree(images));
  // a process that has a pid of the checkpoint is in the way for that alone
  const own = images.ownPidNamespace ? [] : tasks.map(({ pid }) => pid);
  // the kernel takes its time for them, and the files theirs
  const ports = hasOwnNetwork(given.extraArgs) ? undefined : attempt(() => checkPortsFree(imagesDir, own));
  const { keepShared, signal } = given;
  const files = attempt(() => {
    const generation = readOrigin(imagesDir)?.generation; // each restore writes it
    const leftOut = generation && [generation.path];
    return compareFiles(imagesDir, { keepShared, leftOut, own, withPlain, signal });
  });
  const [keptPorts = [], steps] = await Promise.all([ports, files]);
  return { images, options, operation, steps, keptPorts, problems: found.flat() };
}

/** One error for all that is in the way. */
export function refusalOf(imagesDir: string, problems: readonly ToolkitError[]): ToolkitError {
  const [only] = problems;
  if (only !== undefined && problems.length === 1) return only;
  const hints = problems.flatMap(({ hint }) => (hint === undefined ? [] : [hint]));
  return new RestoreError(
    'ERR_RESTORE_REFUSED',
    `cannot restore ${imagesDir}: ${problems.map(({ message }) => message).join('; ')}`,
    { hint: [...new Set(hints)].join('\n'), problems },
  );
}

/**
 * Keeps a dump from replacing the images; other restores may read them, in another pid namespace.
 * @returns `undefined` where the directory cannot be opened: the look says why
 */
function lockForRestore(imagesDir: string): ImagesLock | undefined {
  if (directoryProblem(imagesDir) !== undefined) return undefined;
  try {
    return lockImages(imagesDir, false, (holders) => {
      const message = `a checkpoint is being written to ${imagesDir}${holders}`;
      throw new RestoreError('ERR_RESTORE_IMAGES', message, { hint: 'wait until it has finished' });
    });
  } catch (error) {
    if (isErrno(error, 'EACCES')) return undefined;
    throw error;
  }
}

/** What the caller ends. */
export interface Begun {
  early: EarlyHelper[];
  /** Of the images, and of their pids. */
  lock: Pick<ImagesLock, 'release'>;
}

/**
 * Looks at everything, while the images are locked and a helper begins to load device memory.
 * @throws one {@link ToolkitError} that names all that is in the way; then there is neither lock nor helper
 */
export async function prepareRestore(given: RestoreOptions): Promise<Prepared & Begun> {
  const early: EarlyHelper[] = [];
  // before the first look: of a dump in progress, that would see some of the images
  const lock = lockForRestore(resolve(given.imagesDir));
  try {
    const look = await lookAtRestore(given, false, async (images, options) => {
      early.push(...(await beginEarlyLoad(images, options)));
    });
    const { problems, images, options, operation, steps, keptPorts = [] } = look;
    if (problems.length > 0 || !images || !options || !operation || !steps)
      throw refusalOf(resolve(given.imagesDir), problems);
    // another restore of these images may have begun since the first look; what follows would change its files
    await checkPidsFree(images);
    const givePidsBack = takePids(images);
    const release = (): void => {
      givePidsBack();
      lock?.release();
    };
    return { images, options, operation, steps, keptPorts, early, lock: { release } };
  } catch (error) {
    lock?.release();
    for (const one of early) one.end();
    throw error;
  }
}
