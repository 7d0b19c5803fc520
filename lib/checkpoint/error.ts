// SPDX-License-Identifier: MIT
import {
  criuFacts,
  failedStep,
  stepFailure,
  type CriuResult,
  type CriuRun,
  type CudaTask,
  type DriverStep,
  type Reason,
} from '../criu/index.ts';
import {
  CommandError,
  CodedError,
  InterruptedError,
  ToolkitError,
  type CommandFacts,
  type ToolkitErrorOptions,
} from '../errors.ts';

/**
 * A checkpoint was refused, or the dump failed (`ERR_CHECKPOINT_FAILED`). The processes are in the state they were in
 * before, unless `tasks` says otherwise.
 */
export class CheckpointError extends CodedError<
  | 'ERR_CHECKPOINT_FAILED'
  | 'ERR_CHECKPOINT_NO_PROCESS'
  | 'ERR_CHECKPOINT_REFUSED'
  | 'ERR_CHECKPOINT_OWN_TREE'
  | 'ERR_CHECKPOINT_CONTAINER'
  | 'ERR_CHECKPOINT_IMAGES_DIR'
> {
  /** The run of criu; `undefined` when the checkpoint was refused before criu started. */
  readonly facts: CommandFacts | undefined;
  /** The outcome for each CUDA process. */
  readonly tasks: readonly CudaTask[];
  /** CRIU's last errors, oldest first. */
  readonly errors: readonly string[];
  /** Why the tree must not be dumped (`ERR_CHECKPOINT_REFUSED`), each with its remedy. */
  readonly reasons: readonly Reason[];

  /** @internal */
  constructor(
    code: CheckpointError['code'],
    message: string,
    options: ToolkitErrorOptions & { run?: CriuRun; result?: CriuResult; reasons?: readonly Reason[] } = {},
  ) {
    const { run, result } = options;
    super(code, message, options);
    this.facts = run && result && criuFacts(run, result);
    this.tasks = result?.status?.tasks ?? [];
    this.errors = result?.log.errors ?? [];
    this.reasons = options.reasons ?? [];
  }
}

/** The driver does not lock a process that is profiled. */
const profilerHint = (step: DriverStep | undefined): string | undefined =>
  step?.step === 'lock' && step.name === 'CUDA_ERROR_NOT_SUPPORTED'
    ? 'a profiler is attached (Nsight, CUPTI, torch.profiler): end its session, or start the program without it'
    : undefined;

/** The error for a run of criu that did not succeed; if the caller aborted it, the abort reason. */
export function checkpointError(pid: number, run: CriuRun, result: CriuResult): ToolkitError {
  if (result.error instanceof ToolkitError && !(result.error instanceof CommandError)) return result.error;
  const step = failedStep(result.status?.steps ?? []);
  const driver = step && `driver's ${step.step} of ${step.pid}: ${stepFailure(step)}`;
  const lost = result.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
  const tooLate =
    result.error instanceof CommandError && result.error.facts.timedOut ? result.error.message : undefined;
  const reason =
    driver ??
    tooLate ??
    result.log.message ??
    (result.stderr || `criu exited with ${result.exitCode ?? 'no code'}`);
  const aftermath = lost.map(
    (task) =>
      `; ${task.pid} could not be returned to its prior state (${task.prior}): ${task.reason ?? 'unknown reason'}`,
  );
  return new CheckpointError('ERR_CHECKPOINT_FAILED', `cannot dump ${pid}: ${reason}${aftermath.join('')}`, {
    hint: profilerHint(step) ?? result.log.hint ?? `the log is ${run.workDir}/dump.log`,
    cause: result.error,
    run,
    result,
  });
}

/** What an interrupted dump left. */
export interface Aftermath {
  /** The process has ended. */
  hasEnded: boolean;
  /** The directory has a complete checkpoint: this one if the process has ended, else an earlier one. */
  hasCheckpoint: boolean;
  /** The CUDA processes that are not in their prior state. */
  lost: readonly CudaTask[];
}

const reasonsOf = (tasks: readonly CudaTask[]): string =>
  tasks.map((task) => `${task.pid} (${task.reason ?? 'unknown reason'})`).join(', ');

/** Says in one sentence what runs and what the directory has. */
export function interruptedError(
  pid: number,
  imagesDir: string,
  aftermath: Aftermath,
  cause: InterruptedError,
): InterruptedError {
  const { hasEnded, hasCheckpoint, lost } = aftermath;
  const process = hasEnded
    ? `${pid} has ended`
    : lost.length > 0
      ? `${pid} is NOT running: ${reasonsOf(lost)}`
      : `${pid} runs as before`;
  const images = !hasCheckpoint
    ? `there is no checkpoint in ${imagesDir}`
    : hasEnded
      ? `its checkpoint in ${imagesDir} is complete`
      : `the earlier checkpoint in ${imagesDir} was kept`;
  const restart = hasCheckpoint ? 'to continue it: criu-cuda restore' : 'start the program again';
  const hint = hasEnded ? restart : 'to try again: criu-cuda checkpoint';
  return new InterruptedError('ERR_INTERRUPTED', `${cause.message}: ${process}, and ${images}`, {
    hint,
    cause,
  });
}

/** For a dump that was to leave the processes running. @throws {@link CheckpointError} when one is not running */
export function throwIfLost(pid: number, run: CriuRun, result: CriuResult, imagesDir: string): void {
  const lost = result.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
  if (lost.length === 0) return;
  const message = `the checkpoint of ${pid} in ${imagesDir} is complete, but it is NOT running: ${reasonsOf(lost)}`;
  throw new CheckpointError('ERR_CHECKPOINT_FAILED', message, {
    hint: `free device memory and return it to the running state, or end it and restore it from ${imagesDir}`,
    run,
    result,
  });
}
