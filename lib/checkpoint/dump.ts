// SPDX-License-Identifier: MIT
/** One run of criu for a dump, and what becomes of the images. @module */
import { runCriu, type CriuResult, type CriuRun, type Trace } from '../criu/index.ts';
import { InterruptedError, ToolkitError } from '../errors.ts';
import { isEnding, type WatchedProcess } from '../process/index.ts';
import type { CheckpointOptions } from './checkpoint.ts';
import { checkpointError, interruptedError } from './error.ts';
import { hasCheckpoint, keepImages, prepareImagesDir, rollBackImages } from './images-dir.ts';
import type { WhileStopped } from './while-stopped.ts';

/** How long a process may take to be killed. With much memory it is visible for longer. */
const KILLED_MS = 1000;

/** Why the caller has ended a dump, which criu may have undone by itself. */
function interruption(signal: AbortSignal | undefined): ToolkitError | undefined {
  if (signal?.aborted !== true) return undefined;
  const reason: unknown = signal.reason;
  if (reason instanceof ToolkitError) return reason;
  return new InterruptedError('ERR_INTERRUPTED', 'the dump was interrupted', { cause: reason });
}

/** Dumps into the directory; if the dump fails, the images that were there before are there again. */
export async function dump(
  run: CriuRun,
  target: WatchedProcess,
  { imagesDir, force = false, signal }: Pick<CheckpointOptions, 'imagesDir' | 'force' | 'signal'>,
  stopped: WhileStopped | undefined,
  trace: Trace | undefined,
): Promise<CriuResult> {
  let result: CriuResult | undefined;
  prepareImagesDir(imagesDir, force);
  try {
    result = await runCriu({ ...run, signal: stopped?.signal ?? signal }).finally(() => stopped?.close());
    trace?.add(run, result);
    if (result.exitCode !== 0) throw interruption(signal) ?? checkpointError(target.pid, run, result);
    keepImages(imagesDir);
    return result;
  } catch (error) {
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
