// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { irregularImage } from '../../../lib/directory.ts';
import { pushImage } from '../../../lib/registry/index.ts';
import { checkRestore } from '../../../lib/restore/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'irregular-'));
  writeFileSync(join(dir, 'inventory.img'), '');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

it.each(['criu-cuda-origin.img', 'pstree.img', 'cuda-4711-0.img', 'criu-cuda.json', 'stats-dump'])(
  'a FIFO in place of %s is refused, where one that opens it would wait forever',
  async (name) => {
    const path = join(dir, name);
    execFileSync('mkfifo', [path]);
    const problem = `${path} is not a regular file`;
    const { problems } = await checkRestore({ imagesDir: dir });
    expect(problems.flatMap(({ texts }) => texts)).toContain(problem);
    await expect(pushImage(dir, 'registry.example.com/a:b')).rejects.toThrow(problem);
  },
);

it('what a checkpoint may have beside images is left alone', () => {
  mkdirSync(join(dir, 'criu-cuda-previous'));
  execFileSync('mkfifo', [join(dir, 'mine')]);
  writeFileSync(join(dir, 'elsewhere'), '');
  symlinkSync('elsewhere', join(dir, 'files.img'));
  symlinkSync('nowhere', join(dir, 'gone.img'));
  expect(irregularImage(dir)).toBeUndefined();
  expect(irregularImage(join(dir, 'missing'))).toBeUndefined();
});
