// SPDX-License-Identifier: MIT
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownCacheDir } from '../../lib/own-cache.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-own-cache-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const find = (): string | undefined => ownCacheDir('facts', { XDG_CACHE_HOME: dir });
const path = (): string => join(dir, 'criu-cuda', 'facts');

describe('ownCacheDir', () => {
  it('creates a directory that only this user can read', () => {
    expect(find()).toBe(path());
    expect(statSync(path()).mode & 0o777).toBe(0o700);
    expect(find()).toBe(path());
  });

  it('creates no home directory', () => {
    const home = join(dir, 'home');
    expect(ownCacheDir('facts', { HOME: home })).toBeUndefined();
    mkdirSync(home);
    expect(ownCacheDir('facts', { HOME: home })).toBe(join(home, '.cache', 'criu-cuda', 'facts'));
  });

  it('refuses a directory that others may write to', () => {
    mkdirSync(path(), { recursive: true });
    chmodSync(path(), 0o777);
    expect(find()).toBeUndefined();
    chmodSync(path(), 0o755);
    expect(find()).toBe(path());
    chmodSync(join(dir, 'criu-cuda'), 0o775);
    expect(find()).toBeUndefined();
  });

  it('refuses a directory of another user', (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory away');
    mkdirSync(path(), { recursive: true });
    chownSync(path(), 12_345, 12_345);
    expect(find()).toBeUndefined();
    chownSync(path(), 0, 0);
    chownSync(join(dir, 'criu-cuda'), 12_345, 12_345);
    expect(find()).toBeUndefined();
  });

  it('creates nothing in a cache of another user', (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory away');
    chownSync(dir, 12_345, 12_345);
    expect(find()).toBeUndefined();
    expect(readdirSync(dir)).toEqual([]);
    mkdirSync(join(dir, 'criu-cuda'));
    chownSync(join(dir, 'criu-cuda'), 12_345, 12_345);
    expect(find()).toBeUndefined();
    expect(readdirSync(join(dir, 'criu-cuda'))).toEqual([]);
  });

  it('refuses a directory that another user could replace', (context) => {
    expect(find()).toBe(path());
    chmodSync(dir, 0o777);
    expect(find()).toBeUndefined();
    chmodSync(dir, 0o1777); // as /tmp: what is in it is safe
    expect(find()).toBe(path());
    chmodSync(dir, 0o700);
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory away');
    chownSync(dir, 12_345, 12_345);
    expect(find()).toBeUndefined();
  });

  it('refuses a symbolic link', () => {
    mkdirSync(join(dir, 'criu-cuda'));
    mkdirSync(join(dir, 'elsewhere'));
    symlinkSync(join(dir, 'elsewhere'), path());
    expect(find()).toBeUndefined();
  });

  it('does without one where none can be created', () => {
    expect(ownCacheDir('facts', { XDG_CACHE_HOME: '/proc/self' })).toBeUndefined();
    expect(ownCacheDir('facts', { XDG_CACHE_HOME: 'relative' })).toBeUndefined();
    expect(ownCacheDir('facts', { HOME: '/dev/null' })).toBeUndefined();
  });
});
