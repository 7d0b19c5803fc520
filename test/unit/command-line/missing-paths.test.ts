// SPDX-License-Identifier: MIT
/** A directory that does not exist is said not to exist, and its path is printed once. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-missing-'));
  vi.stubEnv('CRIU_CUDA_RUN_DIR', join(dir, 'run'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

/** The first line on standard error of a command that must be refused. */
async function refusal(...argv: string[]): Promise<string> {
  const { io, stderr, stdout } = captureIo();
  expect(await main(argv, io), stdout()).toBe(2);
  return stderr().split('\n')[0] ?? '';
}

describe.each([
  ['restore', ['restore', '--detach']],
  ['image show', ['image', 'show']],
  ['image verify', ['image', 'verify']],
  ['pool prefetch', ['pool', 'prefetch']],
])('%s', (_name, words) => {
  it('says that the images directory does not exist', async () => {
    const missing = join(dir, 'missing');
    expect(await refusal(...words, missing)).toBe(`criu-cuda: ${missing} does not exist`);
  });

  it('says that a file is not a directory', async () => {
    const file = join(dir, 'file');
    writeFileSync(file, '');
    expect(await refusal(...words, file)).toBe(`criu-cuda: ${file} is not a directory`);
  });
});

/** Each of these takes long before it would write the file. */
describe.each([
  ['bundle', ['bundle', '--output']],
  ['selftest', ['selftest', '--software', '--output']],
])('%s --output', (_name, words) => {
  it('says at once that the file cannot be written', async () => {
    const file = join(dir, 'file.tar.xz');
    writeFileSync(file, '');
    const missing = join(dir, 'missing');
    expect(await refusal(...words, dir)).toBe(`criu-cuda: ${dir} is a directory`);
    expect(await refusal(...words, join(missing, 'a.tar.xz'))).toBe(`criu-cuda: ${missing} does not exist`);
    expect(await refusal(...words, join(file, 'a.tar.xz'))).toBe(`criu-cuda: ${file} is not a directory`);
  });
});

it('refuses a file instead of a directory for cuda-checkpoint', async () => {
  const file = join(dir, 'file');
  writeFileSync(file, '');
  expect(await refusal('install', '--cuda-checkpoint', file)).toBe(`criu-cuda: ${file} is not a directory`);
});

it('says what a system call could not do, without a stack trace', async () => {
  const notReadable = join(dir, 'run', 'history');
  mkdirSync(dirname(notReadable), { mode: 0o700 });
  symlinkSync('history', notReadable); // a link to itself, as root may read anything else
  const { io, stderr } = captureIo();
  expect(await main(['status'], io)).toBe(1);
  expect(stderr()).toBe(`criu-cuda: cannot read ${notReadable}: too many symbolic links encountered\n`);
});

it('says that an image root does not exist, instead of describing a device for it', async () => {
  const missing = join(dir, 'missing');
  expect(await refusal('cdi', 'generate', '--root', missing)).toBe(`criu-cuda: ${missing} does not exist`);
});

it('says once why a plugin file cannot be read', async () => {
  const missing = join(dir, 'missing.so');
  expect(await refusal('inspect', missing)).toBe(
    `criu-cuda: cannot read ${missing}: no such file or directory`,
  );
});

it('does not show internal paths of a pool that does not run', async () => {
  const { io, stderr } = captureIo();
  expect(await main(['pool', 'status'], io)).toBe(1);
  expect(stderr()).toBe(
    `criu-cuda: no pool daemon answers at ${join(dir, 'run', 'control.sock')}\nstart one with criu-cuda pool start\n`,
  );
});

it('does not ask to start a pool that is to be stopped', async () => {
  const { io, stderr } = captureIo();
  expect(await main(['pool', 'stop'], io)).toBe(1);
  expect(stderr()).not.toContain('pool start');
  expect(stderr()).toMatch(/\nnothing has to be stopped, unless .* CRIU_CUDA_RUN_DIR\n$/);
});
