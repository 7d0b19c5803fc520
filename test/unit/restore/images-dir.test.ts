// SPDX-License-Identifier: MIT
/** checkpoint() and restore() with real CRIU where a directory cannot be written, or files of a checkpoint are missing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { UsageError } from '../../../lib/errors.ts';
import { exec } from '../../../lib/exec.ts';
import { isAlive, killTree, readStat } from '../../../lib/process/index.ts';
import { restore, RestoreError } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';

let dir: string;
let shared: { criu: string; imagesDir: string; env: Record<string, string> };
let pid: number;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-images-'));
  const imagesDir = join(dir, 'images');
  shared = { criu: criuProgram(), imagesDir, env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') } };
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', cwd: dir });
  await once(child, 'spawn');
  pid = child.pid ?? 0;
});
afterEach(async () => {
  await killTree(pid);
  rmSync(dir, { recursive: true, force: true });
});

const log = (name: string, where = shared.imagesDir): string => join(where, `${name}.log`);

/** Makes a directory read-only while a function runs. */
async function whileReadOnly(path: string, run: () => Promise<void>): Promise<void> {
  await exec('mount', ['--bind', path, path]);
  try {
    await exec('mount', ['-o', 'remount,bind,ro', path]);
    await run();
  } finally {
    await exec('umount', [path]);
  }
}

describe('a read-only images directory', () => {
  it('is refused for a dump before criu starts', async () => {
    mkdirSync(shared.imagesDir);
    await whileReadOnly(shared.imagesDir, async () => {
      const refusal = checkpoint({ ...shared, pid });
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow(`cannot write to ${shared.imagesDir}`);
      expect(readStat(pid)?.state).toBe('S');
    });
    expect(readdirSync(shared.imagesDir)).toEqual([]);
  });

  it('is refused for a restore before criu starts, which needs only another directory for its log', async () => {
    await checkpoint({ ...shared, pid });
    const workDir = join(dir, 'work');
    await whileReadOnly(shared.imagesDir, async () => {
      await expect(restore(shared)).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringContaining(`cannot write to ${shared.imagesDir}`) as string,
        hint: expect.stringContaining('--work-dir DIR') as string,
      });
      expect(isAlive(pid)).toBe(false);
      await expect(restore({ ...shared, workDir })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: `the work directory ${workDir} does not exist`,
      });
      mkdirSync(workDir);
      await restore({ ...shared, workDir });
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe('sleep\x001000\x00');
      expect(existsSync(log('restore', workDir))).toBe(true);
    });
    expect(existsSync(log('restore'))).toBe(false);
  });
});

describe('a missing image', () => {
  it.for(['core', 'mm', 'pagemap'])('of a task is named before criu starts: %s', async (kind) => {
    await checkpoint({ ...shared, pid });
    rmSync(join(shared.imagesDir, `${kind}-${pid}.img`));
    await expect(restore(shared)).rejects.toMatchObject({
      code: 'ERR_RESTORE_IMAGES',
      message: `${shared.imagesDir} lacks ${kind}-${pid}.img`,
      hint: expect.stringContaining('copy its whole directory') as string,
    });
    expect(existsSync(log('restore'))).toBe(false);
    expect(isAlive(pid)).toBe(false);
  });

  it('that only criu misses is named from its log', async () => {
    await checkpoint({ ...shared, pid });
    rmSync(join(shared.imagesDir, `fs-${pid}.img`));
    const failure = restore(shared);
    await expect(failure).rejects.toThrow(RestoreError);
    await expect(failure).rejects.toMatchObject({
      message: `cannot restore ${shared.imagesDir}: fs-${pid}.img is missing`,
      hint: expect.stringContaining('copy its whole directory') as string,
    });
    expect(isAlive(pid)).toBe(false);
  });
});
