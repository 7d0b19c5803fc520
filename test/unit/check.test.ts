// SPDX-License-Identifier: MIT
/** What a JavaScript program passes by mistake is refused; it never means "everything" or "here". */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../lib/checkpoint/index.ts';
import { createContainer, findContainer, removeContainer, writeCdi } from '../../lib/container/index.ts';
import { createGolden } from '../../lib/golden/index.ts';
import { watchState } from '../../lib/gpu/index.ts';
import { readGpuImages, readPageImages, verifyGpuImages } from '../../lib/images/index.ts';
import { inspectPluginDirectory } from '../../lib/inspect/index.ts';
import { installPlugin } from '../../lib/install/index.ts';
import { dropImages, markGolden, prefetchImages, readPoolStatus, stopPool } from '../../lib/pool/index.ts';
import {
  killTree,
  readMemorySummary,
  readProcessTree,
  waitForExit,
  watchProcess,
  readMemoryMap,
  readMemoryPages,
} from '../../lib/process/index.ts';
import { restore, wake } from '../../lib/restore/index.ts';
import { preloadEnvironment, startProgram } from '../../lib/run/index.ts';
import { writeSettingsFile } from '../../lib/settings/index.ts';
import { benchmarkDumpRestore, restoreLoop } from '../../lib/benchmark/index.ts';
import { createBundle } from '../../lib/bundle/index.ts';

/** Anything, as from a program without types. */
const any = (value: unknown): never => value as never;

let cwd: string;
let dir: string;
beforeEach(() => {
  cwd = process.cwd();
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-check-'));
  process.chdir(dir); // anything written to the current directory by mistake is noticed
});
afterEach(() => {
  expect(readdirSync(dir)).toEqual([]);
  process.chdir(cwd);
  rmSync(dir, { recursive: true });
});

/** Runs a call, whether it throws at once or rejects. */
const refusal = (call: () => unknown): Promise<unknown> => Promise.resolve().then(call);

const one = { name: 'stock', libdir: '/' };
/** Nothing is asked of it. */
const driver = any({});
const server = { url: 'http://127.0.0.1:1' };

describe('a pid', () => {
  const pids: [string, unknown][] = [
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['0', 0],
    ['negative', -1],
    ['no whole number', 1.5],
    ['too large', 2 ** 31],
    ['a string', '1'],
    ['a path', 'self'],
  ];
  const calls: [string, (pid: never) => unknown][] = [
    ['checkpoint', (pid) => checkpoint({ pid, imagesDir: '/nowhere' })],
    ['wake', (pid) => wake(pid)],
    ['readProcessTree', (pid) => readProcessTree(pid)],
    ['readMemorySummary', (pid) => readMemorySummary(pid)],
    ['waitForExit', (pid) => waitForExit(pid)],
    ['watchProcess', (pid) => watchProcess(pid)],
    ['watchState', (pid) => watchState(driver, pid)],
    ['readMemoryMap', (pid) => readMemoryMap(pid)],
    ['readMemoryPages', (pid) => readMemoryPages(pid)],
  ];
  describe.each(pids)('that is %s', (_, pid) => {
    it.each(calls)('is refused by %s', async (_name, call) => {
      await expect(refusal(() => call(any(pid)))).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringMatching(/ is not a pid$/) as string,
      });
    });
  });
});

describe('a path', () => {
  const calls: [string, (path: never) => unknown][] = [
    ['dropImages', (path) => dropImages(path)],
    ['prefetchImages', (path) => prefetchImages(path)],
    ['markGolden', (path) => markGolden(path, true)],
    ['checkpoint', (imagesDir) => checkpoint({ pid: process.ppid, imagesDir })],
    ['restore', (imagesDir) => restore({ imagesDir })],
    ['readGpuImages', (path) => readGpuImages(path)],
    ['readPageImages', (path) => readPageImages(path)],
    ['verifyGpuImages', (path) => verifyGpuImages(path)],
    ['inspectPluginDirectory', (path) => inspectPluginDirectory(path)],
    ['installPlugin', (libdir) => installPlugin({ libdir, source: '/nowhere' })],
    ['writeSettingsFile', (path) => writeSettingsFile(path)],
    [
      'writeCdi',
      (path) => {
        writeCdi(path, { cdiVersion: '0.5.0', kind: 'x', devices: [] });
      },
    ],
    ['createBundle', (out) => createBundle({ out })],
    ['startProgram', (command) => startProgram({ command })],
    ['benchmarkDumpRestore', (store) => benchmarkDumpRestore({ cases: [], workload: [], rounds: 1, store })],
    ['restoreLoop', (store) => restoreLoop({ one, workload: [], rounds: 1, store })],
  ];
  describe.each(['', undefined, null, 7])('that is %j', (path) => {
    it.each(calls)('is refused by %s', async (_, call) => {
      await expect(refusal(() => call(any(path)))).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringMatching(/, not a path$/) as string,
      });
    });
  });

  it('that is empty is refused even if it is optional', async () => {
    const refused = { code: 'ERR_USAGE' };
    await expect(readPoolStatus({ runDir: '' })).rejects.toMatchObject(refused);
    await expect(wake(1, { runDir: '' })).rejects.toMatchObject(refused);
    await expect(restore({ imagesDir: dir, libdir: '' })).rejects.toMatchObject(refused);
    await expect(restore({ imagesDir: dir, workDir: '' })).rejects.toMatchObject(refused);
    await expect(restore({ imagesDir: dir, criu: '' })).rejects.toMatchObject(refused);
    expect(() => preloadEnvironment('')).toThrow('not a path');
  });
});

describe('a time', () => {
  it.each([Number.NaN, -1, Infinity, 2 ** 31, '5'])('of %s is refused', async (time) => {
    const timeoutMs = any(time);
    const refused = { code: 'ERR_USAGE', message: expect.stringContaining('not a number from 0') as string };
    await expect(waitForExit(process.pid, { timeoutMs })).rejects.toMatchObject(refused);
    const watched = watchProcess(process.pid);
    await expect(watched?.ended({ timeoutMs })).rejects.toMatchObject(refused);
    watched?.close();
    await expect(restore({ imagesDir: dir, timeoutMs })).rejects.toMatchObject(refused);
    await expect(stopPool({ timeoutMs })).rejects.toMatchObject(refused);
    await expect(killTree(2 ** 30, timeoutMs)).rejects.toMatchObject(refused);
    expect(() => watchState(driver, process.pid, { intervalMs: timeoutMs })).toThrow('not a number from 0');
  });
});

describe('a count', () => {
  it.each([Number.NaN, -1, 0.5, undefined])('of %s is refused', async (count) => {
    const refused = { code: 'ERR_USAGE', message: expect.stringContaining('not a whole number') as string };
    const rounds = any(count);
    const bench = benchmarkDumpRestore({ cases: [], workload: [], rounds, store: '/nowhere' });
    await expect(bench).rejects.toMatchObject(refused);
    await expect(restoreLoop({ one, workload: [], rounds, store: '/nowhere' })).rejects.toMatchObject(
      refused,
    );
    if (count === undefined) return; // it has a default there
    const golden = createGolden({ name: 'a', image: 'b', server, warmup: rounds });
    await expect(golden).rejects.toMatchObject(refused);
  });
});

describe('a name of a container', () => {
  it.each(['', undefined, '--latest', '-l'])('that is %j is refused', async (name) => {
    const refused = { code: 'ERR_USAGE', message: expect.stringContaining('not a name') as string };
    await expect(findContainer(any(name))).rejects.toMatchObject(refused);
    await expect(removeContainer(any(name))).rejects.toMatchObject(refused);
    await expect(createContainer({ name: any(name), image: 'x' })).rejects.toMatchObject(refused);
    await expect(createContainer({ name: 'x', image: any(name) })).rejects.toMatchObject(refused);
  });
});
