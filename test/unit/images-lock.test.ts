// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockImages } from '../../lib/images-lock.ts';
import { SystemCallError } from '../../lib/native/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-lock-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const refuse = (holders: string): never => {
  throw new Error(`in use${holders}`);
};

it('excludes others, and names the process that has the lock', () => {
  const lock = lockImages(dir, true, refuse);
  expect(lock.warning).toBeUndefined();
  expect(() => lockImages(dir, false, refuse)).toThrow(`in use (process ${process.pid})`);
  lock.release();
  lockImages(dir, true, refuse).release();
});

it('lets those share the directory who only read it', () => {
  const locks = [lockImages(dir, false, refuse), lockImages(dir, false, refuse)];
  expect(() => lockImages(dir, true, refuse)).toThrow('in use');
  for (const lock of locks) lock.release();
});

it('says that nothing is locked where the file system has no locks', () => {
  const lock = lockImages(dir, true, refuse, () => {
    throw new SystemCallError('flock(3)', constants.errno.ENOLCK);
  });
  expect(lock.warning).toMatch(/cannot be locked .*ENOLCK/);
  lockImages(dir, true, refuse).release();
  lock.release();
});
