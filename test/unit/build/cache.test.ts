// SPDX-License-Identifier: MIT
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeForeignCache } from '../../../lib/build/cache.ts';

let dir: string;
let build: string;
let source: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-cache-'));
  source = join(dir, 'plugins-cuda');
  build = join(source, 'build-address');
  mkdirSync(join(build, 'CMakeFiles'), { recursive: true });
  mkdirSync(join(dir, 'other', 'build'), { recursive: true });
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function configured(home: string, cacheDir: string): void {
  const lines = ['CMAKE_BUILD_TYPE:STRING=RelWithDebInfo', `CMAKE_CACHEFILE_DIR:INTERNAL=${cacheDir}`];
  writeFileSync(join(build, 'CMakeCache.txt'), [...lines, `CMAKE_HOME_DIRECTORY:INTERNAL=${home}`, ''].join('\n'));
}
const isConfigured = (): boolean => existsSync(join(build, 'CMakeCache.txt')) && existsSync(join(build, 'CMakeFiles'));

describe('removeForeignCache', () => {
  it('keeps the configuration of this directory', () => {
    configured(source, build);
    expect(removeForeignCache(build, source)).toBe(false);
    expect(isConfigured()).toBe(true);
  });

  it('keeps it when the checkout is reached through a different path', () => {
    configured(source, build);
    symlinkSync(source, join(dir, 'link'));
    expect(removeForeignCache(join(dir, 'link', 'build-address'), join(dir, 'link'))).toBe(false);
    expect(isConfigured()).toBe(true);
  });

  it.each([
    ['the sources of a checkout that still exists', 'other', 'plugins-cuda/build-address'],
    ['a build directory that still exists', 'plugins-cuda', 'other/build'],
    ['a checkout that was moved', 'gone/plugins-cuda', 'gone/plugins-cuda/build-address'],
  ])('removes the configuration of %s', (_, home, cacheDir) => {
    configured(join(dir, home), join(dir, cacheDir));
    expect(removeForeignCache(build, source)).toBe(true);
    expect(existsSync(join(build, 'CMakeCache.txt'))).toBe(false);
    expect(existsSync(join(build, 'CMakeFiles'))).toBe(false);
  });

  it('removes one that does not name a directory', () => {
    writeFileSync(join(build, 'CMakeCache.txt'), '# cut short\n');
    expect(removeForeignCache(build, source)).toBe(true);
  });

  it('does nothing if nothing is configured', () => {
    expect(removeForeignCache(build, source)).toBe(false);
    expect(removeForeignCache(join(dir, 'missing'), source)).toBe(false);
  });
});
