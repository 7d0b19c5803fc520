// SPDX-License-Identifier: MIT
// The images directory is full, or becomes so at any moment of a dump: the program runs on, or its checkpoint is complete. What
// has been restored is not called failed because there was no room to write about it.
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint, CheckpointError, type CheckpointResult } from '../../../lib/checkpoint/index.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { SharingServer } from '../../helpers/sharing-server.ts';

const KiB = 1024;
/** What the test writes at once: a page. */
const PAGE_BYTES = 4 * KiB;
/** More than the server's images take. */
const ENOUGH_BYTES = 256 * KiB * KiB;

let machine: Machine;
let server: SharingServer;
let imagesDir: string;
beforeEach(async () => {
  machine = new Machine();
  server = await SharingServer.start(machine);
  imagesDir = join(machine.dir, 'small');
  mkdirSync(imagesDir);
});
afterEach(async () => {
  await execResult('umount', ['--lazy', imagesDir]);
  await server.close();
  await machine.close();
});

async function mountOf(bytes: number): Promise<void> {
  await execResult('umount', ['--lazy', imagesDir]);
  await exec('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'criu-cuda-test', imagesDir]);
}

const options = (): { criu: string; env: Record<string, string>; imagesDir: string } => ({
  criu: criuProgram(),
  env: machine.env,
  imagesDir,
});

/** The memory of both processes has counted each question. */
const expectAnswer = async (asked: number): Promise<void> => {
  expect(await server.ask()).toMatchObject({ private: asked, shared: asked, in_time: true });
};

/** @returns `undefined` for a dump that failed */
async function tryDump(): Promise<CheckpointResult | undefined> {
  try {
    return await checkpoint({ ...options(), pid: server.pid });
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return undefined;
  }
}

it('a program whose images just fit, or just do not, runs on or comes back', async () => {
  await mountOf(ENOUGH_BYTES);
  let asked = 0;
  await expectAnswer(++asked);
  await checkpoint({ ...options(), pid: server.pid, leaveRunning: true });
  const { blocks, bfree, bsize } = statfsSync(imagesDir);
  const used = (blocks - bfree) * bsize;
  const dumped: boolean[] = [];
  for (const more of [-2, -1, 0, 1, 3, 254, 256, 258, 270]) {
    await mountOf(used + more * PAGE_BYTES);
    const result = await tryDump();
    dumped.push(result !== undefined);
    if (result) {
      expect(result.warnings.filter((one) => one.includes('not ours'))).toEqual([]);
      await restore(options());
    } else expect(readdirSync(imagesDir).filter((name) => !name.endsWith('.log'))).toEqual([]);
    await expectAnswer(++asked);
  }
  expect(dumped).toContain(true);
  expect(dumped).toContain(false);
});

it('a restore that cannot write its log and statistics', async () => {
  await mountOf(ENOUGH_BYTES);
  await expectAnswer(1);
  await checkpoint({ ...options(), pid: server.pid });
  const { bfree, bsize } = statfsSync(imagesDir);
  writeFileSync(join(imagesDir, 'filler'), Buffer.alloc(bfree * bsize));
  const { result } = await restore(options());
  expect(result.phases.map(({ name }) => name)).toContain('rest');
  expect(isAlive(result.pid)).toBe(true);
  await expectAnswer(2);
});

it('a dump into a directory without any room is refused before anything is done', async () => {
  await mountOf(PAGE_BYTES);
  await expect(checkpoint({ ...options(), pid: server.pid })).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT_IMAGES_DIR',
    message: `there is no room for images in ${imagesDir}`,
  });
  expect(readdirSync(imagesDir)).toEqual([]);
  await expectAnswer(1);
});
