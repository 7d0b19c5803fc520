// SPDX-License-Identifier: MIT
import { criuFacts, type CriuResult, type CriuRun, type CudaTask } from '../criu/index.ts';
import { CommandError, ToolkitError, type CommandFacts } from '../errors.ts';

/** A dump failed. The process goes on in the state it was in, unless `tasks` says otherwise. */
export class CheckpointError extends CommandError {
  /** What became of its CUDA processes. */
  readonly tasks: readonly CudaTask[];
  /** CRIU's last errors, oldest first. */
  readonly errors: readonly string[];

  constructor(message: string, hint: string | undefined, facts: CommandFacts, result: CriuResult) {
    super('ERR_CHECKPOINT_FAILED', message, facts, {
      cause: result.error,
      hint,
    });
    this.tasks = result.status?.tasks ?? [];
    this.errors = result.log.errors;
  }
}

/** The error for a criu that did not succeed. An interruption by the caller stays what it is. */
export function checkpointError(pid: number, run: CriuRun, result: CriuResult): ToolkitError {
  if (result.error instanceof ToolkitError && !(result.error instanceof CommandError)) return result.error;
  const step = result.status?.steps.find((one) => one.result !== 0);
  const driver = step && `driver's ${step.step} of ${step.pid}: ${step.name} (${step.result})`;
  const lost = result.status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
  const reason =
    driver ?? result.log.message ?? (result.stderr || `criu exited with ${result.exitCode ?? 'no code'}`);
  const aftermath = lost.map(
    (task) => `; ${task.pid} is not back in its state (${task.prior}): ${task.reason ?? 'unknown reason'}`,
  );
  return new CheckpointError(
    `cannot dump ${pid}: ${reason}${aftermath.join('')}`,
    result.log.hint ?? `the log is ${run.workDir}/dump.log`,
    criuFacts(run, result),
    result,
  );
}
