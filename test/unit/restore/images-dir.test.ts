// SPDX-License-Identifier: MIT
/** checkpoint() and restore() with real CRIU where a directory cannot be written, or files of a checkpoint are missing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { UsageError } from '../../../lib/errors.ts';
import { exec } from '../../../lib/exec.ts';
import { isAlive, readStat } from '../../../lib/process/index.ts';
import { restore, RestoreError } from '../../../lib/restore/index.ts';
import { startSleeping, type Sleeping } from '../../helpers/sleeping.ts';

let program: Sleeping;
let dir: string;
let shared: Sleeping['options'];
let pid: number;
beforeEach(async () => {
  program = await startSleeping();
  ({ dir, pid, options: shared } = program);
});
afterEach(() => program.remove());

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
