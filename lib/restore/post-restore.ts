// SPDX-License-Identifier: MIT
/**
 * A command that runs when the tree is restored, before its processes run: CRIU calls it as its action script. CRIU knows
 * programs only, and calls them at every stage.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CriuLogSummary } from '../criu/index.ts';
import { tailOf } from '../exec.ts';
import type { WrittenGeneration } from '../kept/index.ts';

/** Its output, in the work directory. */
const OUTPUT = 'post-restore.log';
const FAILED = 'Aborting restore due to post-restore script ret code';

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export interface PostRestore {
  /** For a shell. */
  command: string;
  imagesDir: string;
  workDir: string;
  generation: WrittenGeneration | undefined;
}

/** Writes the script. @param dir a directory of this restore. @returns arguments of criu */
export function postRestoreArguments(dir: string, options: PostRestore): string[] {
  const { command, imagesDir, workDir, generation } = options;
  const path = join(dir, 'post-restore');
  const output = join(workDir, OUTPUT);
  const variables = {
    CRIU_CUDA_IMAGES_DIR: imagesDir,
    ...(generation && {
      CRIU_CUDA_GENERATION: String(generation.number),
      CRIU_CUDA_GENERATION_ID: generation.id,
    }),
  };
  const lines = [
    '#!/bin/sh',
    '[ "$CRTOOLS_SCRIPT_ACTION" = post-restore ] || exit 0',
    'export CRIU_CUDA_PID="$CRTOOLS_INIT_PID"',
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`),
    `rm -f ${quote(output)}`,
    'set -C', // no link of another user is followed
    `exec /bin/sh -c ${quote(command)} >${quote(output)} 2>&1 </dev/null`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o700 });
  return ['--action-script', path];
}

/** The log with what the command said in place of CRIU's words, if that is why the restore failed. */
export function explainPostRestore(workDir: string, log: CriuLogSummary): CriuLogSummary {
  if (!log.errors.some((error) => error.includes(FAILED))) return log;
  const path = join(workDir, OUTPUT);
  let output = '';
  try {
    output = tailOf(readFileSync(path, 'utf8'), 1);
  } catch {
    // it has written nothing
  }
  const message = `the command of --post-restore failed${output === '' ? '' : `: ${output}`}`;
  return { ...log, message, hint: `its output is in ${path}; no restored process is left` };
}
