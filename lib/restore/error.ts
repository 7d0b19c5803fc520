// SPDX-License-Identifier: MIT
import { criuFacts, type CriuResult, type CriuRun, type CudaTask } from '../criu/index.ts';
import { CommandError, ToolkitError, type CommandFacts } from '../errors.ts';

/**
 * A restore failed and nothing of it runs. `code` is ERR_RESTORE_DEVICE when
 * CRIU brought the tasks back but the driver did not bring a device back, else
 * ERR_RESTORE_FAILED.
 */
export class RestoreError extends CommandError {
  /** What became of its CUDA processes. */
  readonly tasks: readonly CudaTask[];
  /** CRIU's last errors, oldest first. */
  readonly errors: readonly string[];

  constructor(code: string, message: string, hint: string, facts: CommandFacts, result: CriuResult) {
    super(code, message, facts, { cause: result.error, hint });
    this.tasks = result.status?.tasks ?? [];
    this.errors = result.log.errors;
  }
}

/** Tasks whose device did not come back. */
export const failedTasks = (result: CriuResult): CudaTask[] =>
  result.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];

/** Whether the restore succeeded, whatever criu's exit code says. */
export const succeeded = (result: CriuResult): boolean =>
  result.exitCode === 0 && failedTasks(result).length === 0 && (result.status?.end?.ret ?? 0) === 0;

function deviceError(run: CriuRun, result: CriuResult, hint: string): RestoreError | undefined {
  const reasons = failedTasks(result).map((task) => {
    const step = result.status?.steps.find((one) => one.pid === task.pid && one.result !== 0);
    const said = task.reason ?? 'unknown reason';
    return `${task.pid}: ${step ? `${step.step}: ${step.name} (${step.result})` : said}`;
  });
  if (reasons.length === 0) return undefined;
  const message = `device restore of ${reasons.join('; ')}; the restored tasks were killed`;
  return new RestoreError('ERR_RESTORE_DEVICE', message, hint, criuFacts(run, result), result);
}

/** The error for a run that did not succeed. An interruption by the caller stays what it is. */
export function restoreError(imagesDir: string, run: CriuRun, result: CriuResult): ToolkitError {
  if (result.error instanceof ToolkitError && !(result.error instanceof CommandError)) return result.error;
  const logHint = `the log is ${run.workDir}/restore.log`;
  const device = deviceError(run, result, logHint);
  if (device) return device;
  const reason = result.log.message ?? (result.stderr || `criu exited with ${result.exitCode ?? 'no code'}`);
  return new RestoreError(
    'ERR_RESTORE_FAILED',
    `cannot restore ${imagesDir}: ${reason}`,
    result.log.hint ?? logHint,
    criuFacts(run, result),
    result,
  );
}
