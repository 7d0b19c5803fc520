// SPDX-License-Identifier: MIT
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findPluginDir } from '../../../lib/criu/index.ts';
import { EnvironmentError, UsageError } from '../../../lib/errors.ts';
import { variantPlugin } from '../../../lib/variant.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-plugin-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

function addPlugin(...path: string[]): string {
  const place = join(dir, ...path);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'cuda_plugin.so'), '');
  return place;
}

describe('findPluginDir', () => {
  it('uses only the directory that was asked for', () => {
    addPlugin('lib/stock');
    const chosen = addPlugin('chosen');
    const env = { CRIU_CUDA_BUILD_DIR: dir };
    expect(findPluginDir({ libdir: chosen, variant: 'stock' }, env)).toBe(chosen);
    expect(() => findPluginDir({ libdir: join(dir, 'lib') }, env)).toThrow(EnvironmentError);
  });

  it('prefers CRIU_LIBS_DIR to what is built', () => {
    const built = addPlugin('lib/stock');
    const other = addPlugin('other');
    expect(findPluginDir({}, { CRIU_CUDA_BUILD_DIR: dir })).toBe(built);
    expect(findPluginDir({}, { CRIU_CUDA_BUILD_DIR: dir, CRIU_LIBS_DIR: other })).toBe(other);
  });

  it('refuses a directory with two CUDA plugins, which CRIU would both load', () => {
    const both = join(dir, 'both');
    mkdirSync(both);
    copyFileSync(variantPlugin('stock'), join(both, 'cuda_plugin.so'));
    expect(findPluginDir({ libdir: both })).toBe(both);
    copyFileSync(variantPlugin('stock'), join(both, 'other.so'));
    expect(() => findPluginDir({ libdir: both })).toThrow('contains 2 CUDA plugins');
  });

  it('names the variant that is not built, and rejects unknown ones', () => {
    const env = { CRIU_CUDA_BUILD_DIR: dir };
    expect(() => findPluginDir({ variant: 'stock' }, env)).toThrow('variant stock is not built');
    expect(() => findPluginDir({ variant: 'turbo' }, env)).toThrow(UsageError);
  });
});
