// SPDX-License-Identifier: MIT
/** A shell job gets its terminal from criu, so criu needs to have ours. */
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readStat } from '../../../lib/process/index.ts';
import { restore, RestoreError, type RestoreOptions } from '../../../lib/restore/index.ts';
import { writeCriu, writeImages } from '../../helpers/scripted-criu.ts';

let dir: string;
const { isTTY } = process.stdin;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-terminal-'));
});
afterEach(() => {
  process.stdin.isTTY = isTTY;
  rmSync(dir, { recursive: true, force: true });
});

interface Seen {
  /** Stdin of criu. */
  stdin: string;
  processGroup: number;
  args: string[];
}

/**
 * Restores with a criu that only records its environment and fails.
 * @param session of the dumped root, whose pid is 1
 */
async function look(session: number, options: Partial<RestoreOptions> = {}): Promise<Seen> {
  const imagesDir = join(dir, 'images');
  writeImages(imagesDir, { session });
  const program = writeCriu(
    dir,
    `readlink /proc/$$/fd/0 > ${dir}/stdin\ncat /proc/$$/stat > ${dir}/stat\necho "$*" > ${dir}/args\nexit 1`,
  );
  const env = { CRIU_CUDA_RUN_DIR: join(dir, 'run') };
  await expect(restore({ imagesDir, ...program, env, ...options })).rejects.toThrow(RestoreError);
  const read = (name: string): string => readFileSync(join(dir, name), 'utf8').trim();
  const [, , group] = read('stat')
    .replace(/^.*\) /, '')
    .split(' ');
  return { stdin: read('stdin'), processGroup: Number(group), args: read('args').split(' ') };
}

const own = {
  stdin: readlinkSync('/proc/self/fd/0'),
  processGroup: readStat(process.pid)?.processGroup,
};

it('gives criu our stdin and keeps it in our process group for a shell job on a terminal', async () => {
  process.stdin.isTTY = true;
  const seen = await look(0);
  expect(seen).toMatchObject(own);
  expect(seen.args).toContain('--shell-job');
});

it.each([
  ['for a shell job without a terminal', 0, false, {}, true],
  ['for a tree that leads its session', 1, true, {}, false],
  ['when told that it is not a shell job', 0, true, { shellJob: false }, false],
] as const)('runs criu in its own group, without input, %s', async (_when, session, tty, options, job) => {
  process.stdin.isTTY = tty;
  const seen = await look(session, options);
  expect(seen.stdin).toBe('/dev/null');
  expect(seen.processGroup).not.toBe(own.processGroup);
  expect(seen.args.includes('--shell-job')).toBe(job);
});

it('gives criu the terminal when told that it is a shell job', async () => {
  process.stdin.isTTY = true;
  expect(await look(1, { shellJob: true })).toMatchObject(own);
});
