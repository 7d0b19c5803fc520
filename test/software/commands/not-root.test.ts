// SPDX-License-Identifier: MIT
// Commands that need the rights of root say so before anything else.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

it.each([
  ['checkpoint', ['1', '/nowhere']],
  ['restore', ['/nowhere']],
])('%s', async (name, words) => {
  const command = [process.execPath, join(projectRoot, 'dist/cli.js'), name, ...words];
  const { exitCode, stderr } = await execResult('setpriv', ['--bounding-set=-all', '--', ...command]);
  expect(stderr.split('\n')).toEqual([
    `criu-cuda: a ${name} needs the rights of root`,
    'CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE: run it as root: sudo criu-cuda …',
  ]);
  expect(exitCode).toBe(2);
});
