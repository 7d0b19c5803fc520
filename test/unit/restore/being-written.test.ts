// SPDX-License-Identifier: MIT
/** A restore of a directory that a dump is still writing to. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { tryLock } from '../../../lib/native/index.ts';
import { restore } from '../../../lib/restore/index.ts';

let imagesDir: string;
beforeEach(() => {
  imagesDir = mkdtempSync(join(tmpdir(), 'ccr-being-written-'));
});
afterEach(() => {
  rmSync(imagesDir, { recursive: true, force: true });
});

it('is told so, and not that the dump has failed', async () => {
  writeFileSync(join(imagesDir, 'dump.log'), '');
  const fd = openSync(imagesDir, 'r');
  try {
    expect(tryLock(fd, true)).toBe(true);
    await expect(restore({ imagesDir })).rejects.toMatchObject({
      code: 'ERR_RESTORE_IMAGES',
      message: `a checkpoint is being written to ${imagesDir} (process ${process.pid})`,
    });
  } finally {
    closeSync(fd);
  }
  // without the lock, what is there counts
  await expect(restore({ imagesDir })).rejects.toThrow(
    'does not contain a checkpoint: pstree.img is missing',
  );
});
