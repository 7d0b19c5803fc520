// SPDX-License-Identifier: MIT
/** What is at many paths: natively and through Node, the same in every number that a checkpoint keeps. */
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fileStatuses, nativeBackend } from '../../../lib/native/index.ts';
import { backendNames, fileStatusFields } from '../../../lib/native/types.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-status-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

const nodes = (paths: readonly string[]): unknown[] =>
  paths.map((path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat && Object.fromEntries(fileStatusFields.map((name) => [name, stat[name]]));
  });

/** Files of different sizes and times, among others those that no double has exactly, and names outside ASCII. */
function makeFiles(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const path = join(dir, `file ä ${i}`);
    writeFileSync(path, 'x'.repeat(i % 7));
    utimesSync(path, i, 1_700_000_000.123456 + i / 7);
    return path;
  });
}

describe.each(backendNames)('fileStatuses with %s', (backend) => {
  beforeEach(() => {
    vi.stubEnv('CRIU_CUDA_NATIVE', backend);
  });

  it('has the same numbers as Node, for more paths than one thread takes', () => {
    const paths = makeFiles(300);
    expect(fileStatuses(paths)).toMatchObject(nodes(paths));
  });

  it('tells directories, links and names of one file apart, and follows no link', () => {
    const [file = ''] = makeFiles(1);
    const paths = ['directory', 'link', 'dangling', 'name'].map((name) => join(dir, name));
    const [directory = '', link = '', dangling = '', name = ''] = paths;
    mkdirSync(directory);
    symlinkSync(file, link);
    symlinkSync('/nonexistent', dangling);
    linkSync(file, name);
    const all = [file, ...paths];
    expect(fileStatuses(all)).toMatchObject(nodes(all));
  });

  it('leaves out what is not there or cannot be a path, and keeps the order', () => {
    const [file = ''] = makeFiles(1);
    const found = fileStatuses(['/nonexistent', file, `${file}/below`, `${file}\0`, '', file]);
    expect(found.map((one) => one?.ino !== undefined)).toEqual([false, true, false, false, false, true]);
    expect(fileStatuses([])).toEqual([]);
  });
});

it('is one native call where there is the addon', () => {
  const look = vi.spyOn(nativeBackend('addon').libc, 'fileStatus');
  expect(fileStatuses(makeFiles(100))).toHaveLength(100);
  expect(look).toHaveBeenCalledTimes(1);
});
