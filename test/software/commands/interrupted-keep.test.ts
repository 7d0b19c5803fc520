// SPDX-License-Identifier: MIT
// A checkpoint that is interrupted while files in memory are copied into the images: the program runs on at once, and nothing is left.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { InterruptedError } from '../../../lib/errors.ts';
import { readStat } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { SharingServer } from '../../helpers/sharing-server.ts';

/** Nothing copies it before this process looks around. Bytes. */
const SEGMENT_BYTES = 256 << 20;

let machine: Machine;
let segment: string;
let temporary: string;
beforeEach(() => {
  machine = new Machine();
  segment = join(machine.dir, 'segment');
  writeFileSync(segment, Buffer.alloc(SEGMENT_BYTES, 'segment'));
  temporary = join(machine.dir, 'tmp');
  mkdirSync(temporary);
  vi.stubEnv('TMPDIR', temporary);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

/** A program that has the segment open. */
const start = (): Promise<Workload> => machine.start({ under: ['sh', '-c', 'exec "$@" 5<>"$0"', segment] });

/** Begins a checkpoint, and aborts it as soon as a kept file is there. */
async function interrupt(pid: number, leaveRunning: boolean): Promise<unknown> {
  const caller = new AbortController();
  const watcher = watch(machine.imagesDir, (_, file) => {
    if (file?.startsWith('criu-cuda-file-') === true)
      caller.abort(new InterruptedError('ERR_INTERRUPTED', 'enough'));
  });
  const { imagesDir, env } = machine;
  const dumped = checkpoint({ pid, imagesDir, env, leaveRunning, signal: caller.signal });
  return dumped
    .then(
      () => 'it is complete',
      (error: unknown) => error,
    )
    .finally(() => {
      watcher.close();
    });
}

it.each([
  ['is to end', false],
  ['runs on', true],
])('a program that %s runs as before', async (_, leaveRunning) => {
  const workload = await start();
  const before = await workload.verify();
  const { imagesDir, env } = machine;
  expect(await interrupt(workload.pid, leaveRunning)).toMatchObject({
    code: 'ERR_INTERRUPTED',
    message: `enough: ${workload.pid} runs as before, and there is no checkpoint in ${imagesDir}`,
  });
  expect(readStat(workload.pid)?.state).not.toBe('T');
  expect(await workload.verify()).toBe(before);
  expect(readdirSync(imagesDir).filter((name) => !name.endsWith('.log'))).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);

  const { memory } = await checkpoint({ pid: workload.pid, imagesDir, env });
  expect(memory).toHaveLength(1);
  writeFileSync(segment, 'other');
  const restored = await restore({ imagesDir, env });
  expect(await workload.verify()).toBe(before);
  expect(existsSync(segment) && readFileSync(segment).equals(Buffer.alloc(SEGMENT_BYTES, 'segment'))).toBe(
    true,
  );
  await restored.kill();
});

it.each([
  ['is to end', false],
  ['runs on', true],
])('names of deleted files of a tree that %s are removed', async (_, leaveRunning) => {
  const server = await SharingServer.start(machine);
  try {
    await server.ask();
    const file = openSync(server.segment, 'r+');
    writeSync(file, Buffer.alloc(96 << 20, 'between the ends'), 0, 96 << 20, 1 << 20);
    closeSync(file);
    expect(await interrupt(server.pid, leaveRunning)).toMatchObject({ code: 'ERR_INTERRUPTED' });
    expect(await server.ask()).toMatchObject({ private: 2, shared: 2, in_time: true });
    expect(server.linkRemaps()).toEqual([]);
  } finally {
    await server.close();
  }
});
