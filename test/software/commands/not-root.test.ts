// SPDX-License-Identifier: MIT
// Commands that need the rights of root say so before anything is done, with all else that is wrong.
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { sudoCommand } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

/** Runs the program without any capability. */
async function withoutRights(...words: string[]): Promise<{ exitCode: number; stderr: string }> {
  const command = [process.execPath, join(projectRoot, 'dist/cli.js'), ...words];
  return execResult('setpriv', ['--bounding-set=-all', '--', ...command]);
}

it.each([
  ['checkpoint', ['1', '/nowhere'], 'a checkpoint needs the rights of root', []],
  [
    'restore',
    ['/nowhere'],
    'cannot restore /nowhere: a restore needs the rights of root; /nowhere does not exist',
    ['pass the images directory of a checkpoint'],
  ],
])('%s', async (name, words, message, more) => {
  const { exitCode, stderr } = await withoutRights(name, ...words);
  expect(stderr.split('\n')).toEqual([
    `criu-cuda: ${message}`,
    `CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE: run it as root: ${sudoCommand()}`,
    ...more,
  ]);
  expect(exitCode).toBe(2);
});

it.each(['verify', 'show'])('image %s of images that it may not read', async (command) => {
  const imagesDir = mkdtempSync(join(tmpdir(), 'ccr-not-root-'));
  try {
    chmodSync(imagesDir, 0o700);
    chownSync(imagesDir, 12_345, 12_345);
    const { exitCode, stderr } = await withoutRights('image', command, imagesDir);
    expect(stderr.split('\n')).toEqual([
      `criu-cuda: cannot read ${imagesDir}: permission denied`,
      `run it as root: ${sudoCommand()}`,
    ]);
    expect(exitCode).toBe(2);
  } finally {
    rmSync(imagesDir, { recursive: true });
  }
});
