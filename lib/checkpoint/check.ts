// SPDX-License-Identifier: MIT
/**
 * Whether a process tree can be dumped, asked without dumping it.
 * @module
 */
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkPath } from '../check.ts';
import {
  findPluginDir,
  lookAt,
  lookProgram,
  type CheckResult,
  type PluginChoice,
  type Reason,
} from '../criu/index.ts';
import { isErrno } from '../errno.ts';
import { EnvironmentError, groupByRemedy } from '../errors.ts';
import { withDriverOf } from '../gpu/index.ts';
import { readMappedFiles, readProcessTree } from '../process/index.ts';
import { checkLimits, findTarget } from './target.ts';
import { CheckpointError } from './error.ts';

/** Which process tree to check, and for what kind of dump. */
export interface CheckOptions extends PluginChoice {
  /** Root of the process tree. */
  pid: number;
  /** Where the images would be: then the space there is checked, too. */
  imagesDir?: string | undefined;
  /** Whether the process would keep running after the dump. @default false */
  leaveRunning?: boolean | undefined;
  /** Whether to override guesses. @default the setting CRIU_CUDA_FORCE */
  force?: boolean | undefined;
  /** Added to the environment, for settings. */
  env?: Record<string, string | undefined> | undefined;
  /** Stops it. */
  signal?: AbortSignal | undefined;
}

/** Nothing can be said about a process whose mappings are secret: the look would take it for one without CUDA. */
function checkPermitted(pid: number): void {
  for (const one of readProcessTree(pid)) {
    try {
      closeSync(openSync(`/proc/${one.pid}/maps`, 'r'));
    } catch (error) {
      if (!isErrno(error, 'EACCES', 'EPERM')) continue; // it has just ended
      throw new EnvironmentError(`cannot look at process ${one.pid}: permission denied`, [
        { what: `the right to look at process ${one.pid}`, remedy: 'run as root' },
      ]);
    }
  }
}

/**
 * Looks at the tree of `pid` as a dump would, and changes nothing. Takes milliseconds.
 * @throws {@link CheckpointError} there is no such process
 * @throws {@link EnvironmentError} there is no plugin, or it is not this project's; or the user may not look at the tree
 */
export async function checkProcess(options: CheckOptions): Promise<CheckResult> {
  const { imagesDir, leaveRunning, force, signal } = options;
  const target = findTarget(options.pid);
  const { pid } = target;
  checkPermitted(pid);
  checkLimits(target);
  if (imagesDir !== undefined) checkPath('imagesDir', imagesDir);
  const env = await withDriverOf(options.env, () =>
    readMappedFiles(readProcessTree(pid).map((one) => one.pid)),
  );
  const libdir = findPluginDir(options, { ...process.env, ...env });
  const look = await lookAt({
    libdir,
    pid,
    imagesDir: imagesDir === undefined ? undefined : resolve(imagesDir),
    leaveRunning,
    env: force === undefined ? env : { ...env, CRIU_CUDA_FORCE: force ? '1' : '0' },
    signal,
  });
  if (look) return look;
  throw new EnvironmentError(`the plugin in ${libdir} makes no checks`, [
    { what: join(libdir, lookProgram), remedy: 'criu-cuda install, or choose a --variant' },
  ]);
}

const isRefusal = ({ severity }: Reason, forced: boolean): boolean =>
  severity === 'refuse' || (severity === 'guess' && !forced);

/** The error for a tree that must not be dumped, with every reason and remedy. */
export function refusal(pid: number, look: CheckResult): CheckpointError {
  const reasons = look.reasons.filter((reason) => isRefusal(reason, look.forced));
  const remedies = [...new Set(reasons.map(({ remedy }) => remedy))];
  const hasGuess = reasons.some(({ severity }) => severity === 'guess');
  return new CheckpointError(
    'ERR_CHECKPOINT_REFUSED',
    `cannot dump ${pid}: ${reasons.map(({ text }) => text).join('; ')}`,
    {
      hint: [...remedies, ...(hasGuess ? ['if a guess is wrong, set CRIU_CUDA_FORCE=1'] : [])].join('\n'),
      reasons,
    },
  );
}

/** The warnings of a look, each with its remedy. */
export function lookWarnings(look: CheckResult): string[] {
  const warnings = look.reasons.filter((reason) => !isRefusal(reason, look.forced));
  return [...groupByRemedy(warnings)].map(
    ([remedy, reasons]) => `${reasons.map(({ text }) => text).join('; ')}; ${remedy}`,
  );
}
