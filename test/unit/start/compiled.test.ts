// SPDX-License-Identifier: MIT
/** What the program keeps of its compiled code. Needs `npm run build:ts`. */
import {
  chownSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { programFile } from '../../../lib/paths.ts';

let dir: string;
let cache: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-compiled-'));
  cache = join(dir, 'criu-cuda', 'compiled');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Runs the program. @returns its exit code */
async function run(...args: string[]): Promise<number> {
  const env = { XDG_CACHE_HOME: dir, NODE_DISABLE_COMPILE_CACHE: undefined };
  return (await execResult(process.execPath, [programFile, ...args], { env })).exitCode;
}

/** The files that a use has, of the one build that is there. */
function kept(use: string): string[] {
  const [build = ''] = readdirSync(cache);
  const path = join(cache, build, use);
  return existsSync(path) ? readdirSync(path, { recursive: true }).map(String) : [];
}

const keptByNode = 'enableCompileCache' in (await import('node:module'));

describe('compiled code', () => {
  it('is kept apart for commands that have to start fast, so that no other one decides what it has', async () => {
    expect(await run('--version')).toBe(0);
    expect(await run('checkpoint', '--help')).toBe(0);
    expect(kept('other').join('\n')).not.toBe('');
    expect(kept('checkpoint')).toEqual([]);
    expect(await run('restore', join(dir, 'missing'))).toBe(2);
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('of subcommands that have to start fast is not kept with that of the others', async () => {
    expect(await run('golden', 'restore', 'registry.invalid/x:1', '--import', 'y')).toBe(2);
    expect(await run('pool', 'prefetch', join(dir, 'missing'))).toBe(2);
    expect(kept('other')).toEqual([]);
    expect(await run('golden', '--help')).toBe(0);
    expect(kept('other').join('\n')).not.toBe('');
  });

  it('of a command that has failed is not used by the next one', async () => {
    const fail = async (): Promise<string[]> => {
      expect(await run('restore', join(dir, 'missing'))).toBe(2);
      return kept('restore').filter((name) => name !== 'incomplete');
    };
    if (!keptByNode) {
      expect(await fail()).toEqual([]);
      return;
    }
    const [version = ''] = await fail();
    const [build = ''] = readdirSync(cache);
    const left = join(cache, build, 'restore', version, 'of-the-first-one');
    writeFileSync(left, '');
    expect(await fail()).toContain(version);
    expect(existsSync(left)).toBe(false);
  });

  /** Something in the cache that was written two days ago. */
  function old(name: string, make: (path: string) => void): void {
    const path = join(cache, name);
    make(path);
    const then = Date.now() / 1000 - 2 * 24 * 3600;
    lutimesSync(path, then, then);
  }

  function fillCache(): void {
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    mkdirSync(join(dir, 'outside'));
    writeFileSync(join(dir, 'outside', 'file'), 'kept');
    old('build-of-1999', (path) => {
      mkdirSync(join(path, 'other'), { recursive: true });
      writeFileSync(join(path, 'other', 'part.cjs'), 'code');
      symlinkSync(join(dir, 'outside'), join(path, 'link'));
    });
    old('part-of-an-early-version.cjs', (path) => {
      writeFileSync(path, 'code');
    });
    old('link', (path) => {
      symlinkSync(join(dir, 'outside'), path);
    });
    mkdirSync(join(cache, 'build-of-today'));
  }

  it('of earlier builds is removed by a new one, and what links in there lead to is not', async () => {
    fillCache();
    expect(await run('--version')).toBe(0);
    const names = readdirSync(cache);
    expect(names).toContain('build-of-today');
    expect(names).toHaveLength(2);
    expect(readdirSync(join(dir, 'outside'))).toEqual(['file']);
    old('build-of-1999', (path) => {
      mkdirSync(path);
    });
    expect(await run('--version')).toBe(0);
    expect(readdirSync(cache)).toContain('build-of-1999');
  });

  it('is neither kept nor removed in a directory of another user', async (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory away');
    fillCache();
    const before = readdirSync(cache);
    chownSync(join(dir, 'criu-cuda'), 12_345, 12_345);
    expect(await run('--version')).toBe(0);
    expect(readdirSync(cache)).toEqual(before);
  });
});
