// SPDX-License-Identifier: MIT
// Commands that need the rights of root say so before anything is done, with all else that is wrong.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { sudoCommand } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

it.each([
  ['checkpoint', ['1', '/nowhere'], 'a checkpoint needs the rights of root', []],
  [
    'restore',
    ['/nowhere'],
    'cannot restore /nowhere: a restore needs the rights of root; /nowhere does not exist',
    ['pass the images directory of a checkpoint'],
  ],
])('%s', async (name, words, message, more) => {
  const command = [process.execPath, join(projectRoot, 'dist/cli.js'), name, ...words];
  const { exitCode, stderr } = await execResult('setpriv', ['--bounding-set=-all', '--', ...command]);
  expect(stderr.split('\n')).toEqual([
    `criu-cuda: ${message}`,
    `CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE: run it as root: ${sudoCommand()}`,
    ...more,
  ]);
  expect(exitCode).toBe(2);
});
