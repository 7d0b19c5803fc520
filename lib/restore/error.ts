// SPDX-License-Identifier: MIT
import {
  criuFacts,
  failedStep,
  stepFailure,
  type CriuResult,
  type CriuRun,
  type CudaTask,
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
 * A restore was refused (`ERR_RESTORE_IMAGES`, `ERR_RESTORE_PID_TAKEN`, `ERR_RESTORE_PORT_TAKEN`, or
 * `ERR_RESTORE_REFUSED` when several things are in its way) or failed; no restored process is left running.
 * `code` is `ERR_RESTORE_DEVICE` when CRIU restored the processes but the driver could not restore device memory.
 */
export class RestoreError extends CodedError<
  | 'ERR_RESTORE_FAILED'
  | 'ERR_RESTORE_DEVICE'
  | 'ERR_RESTORE_IMAGES'
  | 'ERR_RESTORE_PID'
  | 'ERR_RESTORE_PID_TAKEN'
  | 'ERR_RESTORE_PORT_TAKEN'
  | 'ERR_RESTORE_REFUSED'
> {
  /** The run of criu; `undefined` when the restore was refused before criu started. */
  readonly facts: CommandFacts | undefined;
  /** The outcome for each CUDA process. */
  readonly tasks: readonly CudaTask[];
  /** CRIU's last errors, oldest first. */
  readonly errors: readonly string[];
  /** It may succeed if all host memory is filled before the driver's restore. @internal */
  readonly hasLateFailed: boolean;
  /** With `ERR_RESTORE_REFUSED`: everything that is in its way. */
  readonly problems: readonly ToolkitError[];

  /** @internal */
  constructor(
    code: RestoreError['code'],
    message: string,
    options: ToolkitErrorOptions & {
      run?: CriuRun;
      result?: CriuResult;
      problems?: readonly ToolkitError[];
    } = {},
  ) {
    const { run, result } = options;
    super(code, message, options);
    this.facts = run && result && criuFacts(run, result);
    this.tasks = result?.status?.tasks ?? [];
    this.errors = result?.log.errors ?? [];
    this.hasLateFailed = result?.status?.hasLateFailed ?? false;
    this.problems = options.problems ?? [];
  }
}

/** A standby has ended, or did not get its device memory and was killed. */
export class WakeError extends CodedError<'ERR_WAKE'> {}

/** The CUDA processes whose device memory was not restored. */
export const failedTasks = (result: CriuResult): CudaTask[] =>
  result.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];

/** Whether the restore succeeded. CRIU's exit code alone does not say so. */
export const succeeded = (result: CriuResult): boolean =>
  result.exitCode === 0 && failedTasks(result).length === 0 && (result.status?.end?.ret ?? 0) === 0;

function deviceError(run: CriuRun, result: CriuResult, hint: string): RestoreError | undefined {
  const reasons = failedTasks(result).map((task) => {
    const step = failedStep(result.status?.steps.filter(({ pid }) => pid === task.pid) ?? []);
    const said = task.reason ?? 'unknown reason';
    return `${task.pid}: ${step ? `${step.step}: ${stepFailure(step)}` : said}`;
  });
  if (reasons.length === 0) return undefined;
  const message = `cannot restore device memory of ${reasons.join('; ')}; the restored tasks were killed`;
  return new RestoreError('ERR_RESTORE_DEVICE', message, { hint, cause: result.error, run, result });
}

/** Says what an interrupted restore left; the caller has ended what it had restored. */
const interruptedError = (imagesDir: string, cause: InterruptedError): InterruptedError =>
  new InterruptedError(
    'ERR_INTERRUPTED',
    `${cause.message}: no restored process is left, and the checkpoint in ${imagesDir} is unchanged`,
    { hint: 'to try again: criu-cuda restore', cause },
  );

/** The error for a run that did not succeed; if the caller aborted it, the abort reason. */
export function restoreError(imagesDir: string, run: CriuRun, result: CriuResult): ToolkitError {
  if (result.error instanceof InterruptedError) return interruptedError(imagesDir, result.error);
  if (result.error instanceof ToolkitError && !(result.error instanceof CommandError)) return result.error;
  const logHint = `the log is ${run.workDir}/restore.log`;
  const device = deviceError(run, result, logHint);
  if (device) return device;
  const reason = result.log.message ?? (result.stderr || `criu exited with ${result.exitCode ?? 'no code'}`);
  return new RestoreError('ERR_RESTORE_FAILED', `cannot restore ${imagesDir}: ${reason}`, {
    hint: result.log.hint ?? logHint,
    cause: result.error,
    run,
    result,
  });
}
