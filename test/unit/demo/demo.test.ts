// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { runDemo } from '../../../lib/demo/index.ts';
import { chooseDriver } from '../../../lib/gpu/index.ts';
import { parseSize } from '../../../lib/size.ts';
import { EnvironmentError, InterruptedError, UsageError } from '../../../lib/errors.ts';
import { softcudaLibrary } from '../../../lib/paths.ts';
import { isAlive, readChildren } from '../../../lib/process/index.ts';

const TIMEOUT_MS = 120_000;
const bytes = 16 * 2 ** 20;

const scratchDirs = (): string[] =>
  [tmpdir(), '/dev/shm'].flatMap((parent) =>
    readdirSync(parent)
      .filter((name) => name.startsWith('criu-cuda-demo-'))
      .map((name) => join(parent, name)),
  );

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('runDemo', { timeout: TIMEOUT_MS }, () => {
  it('proves a round trip and leaves nothing behind', async () => {
    const before = scratchDirs();
    const devices: string[] = [];
    const result = await runDemo({ software: true, bytes, onDevice: ({ device }) => devices.push(device) });
    expect(result).toMatchObject({
      timesMeaningful: false,
      deviceBytes: bytes,
      checkpoint: { tasks: [{ outcome: 'dumped' }] },
      restore: { tasks: [{ outcome: 'restored' }] },
      imagesDir: undefined,
    });
    expect(result.checksum).toMatch(/^[0-9a-f]{16}$/);
    expect(result.checkpoint.imageBytes).toBeGreaterThan(bytes);
    expect(result.restore.pid).toBe(result.checkpoint.pid);
    expect(devices).toEqual([expect.stringContaining('software')]);
    expect(isAlive(result.restore.pid)).toBe(false);
    expect(scratchDirs()).toEqual(before);
  });

  it('keeps the images when asked', async () => {
    const { imagesDir = '' } = await runDemo({ software: true, bytes, keep: true });
    expect(existsSync(join(imagesDir, 'inventory.img'))).toBe(true);
    rmSync(dirname(imagesDir), { recursive: true });
  });

  it.each(['checkpoint it', 'restore it'])('cleans up when it is stopped at "%s"', async (where) => {
    const [dirs, children] = [scratchDirs(), readChildren(process.pid)];
    const stop = new AbortController();
    const reason = new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT');
    const demo = runDemo({
      software: true,
      bytes,
      signal: stop.signal,
      step: (title, run) => {
        if (title === where) stop.abort(reason);
        return run();
      },
    });
    await expect(demo).rejects.toBe(reason);
    await expect.poll(() => readChildren(process.pid)).toEqual(children);
    expect(scratchDirs()).toEqual(dirs);
  });

  it('says what is not built', async () => {
    vi.stubEnv('CRIU_CUDA_BUILD_DIR', '/no/such/build');
    await expect(runDemo({ software: true })).rejects.toThrow(EnvironmentError);
  });
});

describe('chooseDriver', () => {
  it('takes the software driver when asked, or when the settings name it', async () => {
    expect(await chooseDriver(true)).toMatchObject({ software: true, library: softcudaLibrary() });
    vi.stubEnv('CRIU_CUDA_DRIVER', softcudaLibrary());
    expect(await chooseDriver(false)).toMatchObject({ software: true, library: softcudaLibrary() });
  });

  it('names a driver of the settings that is not there', async () => {
    vi.stubEnv('CRIU_CUDA_DRIVER', '/no/such/libcuda.so.1');
    await expect(chooseDriver(false)).rejects.toThrow('CRIU_CUDA_DRIVER "/no/such/libcuda.so.1"');
  });
});

describe('parseSize', () => {
  it('reads powers of 1024', () => {
    expect(parseSize('256M')).toBe(256 * 2 ** 20);
    expect(parseSize('2g')).toBe(2 * 2 ** 30);
  });

  it.each(['', '12', '0M', '1.5G', 'M', '9999999999G'])('refuses "%s"', (text) => {
    expect(() => parseSize(text)).toThrow(UsageError);
  });
});
