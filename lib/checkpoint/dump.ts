// SPDX-License-Identifier: MIT
/** One run of criu for a dump, and what becomes of the images. @module */
import { runCriu, type CriuResult, type CriuRun, type Trace } from '../criu/index.ts';
import { InterruptedError } from '../errors.ts';
import { isEnding, type WatchedProcess } from '../process/index.ts';
import { checkpointError, interruptedError } from './error.ts';
import {
  hasCheckpoint,
  keepImages,
  prepareImagesDir,
  releaseRoom,
  reserveRoom,
  rollBackImages,
} from './images-dir.ts';
import type { WhileStopped } from './while-stopped.ts';

/** How long a process may take to be killed. With much memory it is visible for longer. */
const KILLED_MS = 1000;

/** Where a dump goes, and what is done with it. */
interface DumpOptions {
  imagesDir: string;
  /** Whether an existing checkpoint is replaced. */
  force: boolean;
  /** What happens while the tree is stopped; it is closed when criu has ended. */
  stopped: WhileStopped | undefined;
  trace: Trace | undefined;
}

/** Dumps into the directory; if the dump fails, the images that were there before are there again. */
export async function dump(
  run: CriuRun,
  target: WatchedProcess,
  { imagesDir, force, stopped, trace }: DumpOptions,
): Promise<CriuResult> {
  let result: CriuResult | undefined;
  let isPrepared = false;
  try {
    try {
      prepareImagesDir(imagesDir, force);
      isPrepared = true;
      reserveRoom(imagesDir);
      result = await runCriu({ ...run, gracePeriod: stopped?.gracePeriod });
    } finally {
      await stopped?.close(); // nothing writes images any more
      if (isPrepared) releaseRoom(imagesDir);
    }
    trace?.add(run, result);
    if (result.exitCode !== 0) throw checkpointError(target.pid, run, result);
    keepImages(imagesDir);
    return result;
  } catch (error) {
    if (!isPrepared) throw error;
    // a criu killed at the very end has already ended the process: then its images are all that is left, and complete
    const isComplete = hasCheckpoint(imagesDir);
    const hasEnded =
      (await target.ended({ timeoutMs: isComplete ? KILLED_MS : 0 })) || (isComplete && isEnding(target.pid));
    (isComplete && hasEnded ? keepImages : rollBackImages)(imagesDir);
    if (!(error instanceof InterruptedError)) throw error;
    const lost = result?.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
    const aftermath = { hasEnded, hasCheckpoint: hasCheckpoint(imagesDir), lost };
    throw interruptedError(target.pid, imagesDir, aftermath, error);
  }
}
