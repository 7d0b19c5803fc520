// SPDX-License-Identifier: MIT
// Dumped, restored, used, dumped again, ten times: nothing piles up in the process or in the images.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const GENERATIONS = 10;

let machine: Machine;
let disk: string;
let name: string;
let pid: number;
let port: number;
let child: ChildProcess;
let before: string[];
const inMemory = (): string[] => readdirSync('/dev/shm').filter((one) => /^(?:sem\.|link_remap)/.test(one));
beforeEach(async () => {
  machine = new Machine();
  disk = mkdtempSync(join(tmpdir(), 'ccr-generations-'));
  name = `ccr-generations-${process.pid}`;
  before = inMemory();
  const output = openSync(join(disk, 'output'), 'w');
  const program = join(projectRoot, 'test/fixtures/servers/sharing.py');
  child = spawn('setsid', ['python3', program, join(disk, 'work'), name], {
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  const printed = (): RegExpExecArray | null =>
    /pid (\d+) port (\d+)/.exec(readFileSync(join(disk, 'output'), 'utf8'));
  [pid = 0, port = 0] = (await waitUntil(printed)).slice(1).map(Number);
});
afterEach(async () => {
  const tree = readProcessTree(pid).map((one) => one.pid);
  await machine.kill(pid);
  await Promise.all(tree.map((one) => waitForExit(one)));
  child.kill('SIGKILL');
  await machine.close();
  rmSync(disk, { recursive: true });
  for (const one of inMemory().filter((left) => !before.includes(left))) rmSync(`/dev/shm/${one}`);
  rmSync(`/dev/shm/${name}`, { force: true });
});

async function ask(): Promise<unknown> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'close');
  return JSON.parse(text);
}

interface Counts {
  descriptors: number[];
  mappings: number[];
}

/** Of each process of the tree. */
function count(): Counts {
  const pids = readProcessTree(pid)
    .map((one) => one.pid)
    .sort((one, other) => one - other);
  return {
    descriptors: pids.map((one) => readdirSync(`/proc/${one}/fd`).length),
    mappings: pids.map((one) => readFileSync(`/proc/${one}/maps`, 'utf8').split('\n').length),
  };
}

/** Names of the images, and their size without that of the pages, which the program itself determines. */
function measure(dir: string): { names: number; bytes: number; pages: number } {
  const names = readdirSync(dir).filter((one) => /\.(?:img|json)$/.test(one));
  const isPages = (one: string): boolean => one.startsWith('pages-');
  const sum = (some: string[]): number => some.reduce((all, one) => all + statSync(join(dir, one)).size, 0);
  return {
    names: names.length,
    bytes: sum(names.filter((one) => !isPages(one))),
    pages: sum(names.filter(isPages)),
  };
}

it('ten generations are as large as the second', async () => {
  const options = { criu: criuProgram(), env: machine.env };
  const found: { counts: Counts; images: ReturnType<typeof measure> }[] = [];
  for (let generation = 1; generation <= GENERATIONS; generation++) {
    expect(await ask()).toMatchObject({ private: generation, shared: generation, in_time: true });
    const imagesDir = join(machine.dir, `images-${generation}`);
    const counts = count();
    const tree = readProcessTree(pid).map((one) => one.pid);
    await checkpoint({ ...options, pid, imagesDir });
    await Promise.all(tree.map((one) => waitForExit(one)));
    found.push({ counts, images: measure(imagesDir) });
    await restore({ ...options, imagesDir });
    rmSync(imagesDir, { recursive: true });
  }
  expect(await ask()).toMatchObject({ private: GENERATIONS + 1, shared: GENERATIONS + 1, in_time: true });
  const [first, second, ...later] = found;
  expect(second?.counts.descriptors).toEqual(first?.counts.descriptors);
  for (const { counts, images } of later) {
    expect(counts).toEqual(second?.counts);
    expect(images.names).toBe(second?.images.names);
    expect(images.bytes).toBeLessThan((second?.images.bytes ?? 0) * 1.02);
    expect(images.pages).toBeLessThan((second?.images.pages ?? 0) * 1.05);
  }
  expect(inMemory().filter((one) => !before.includes(one) && one.startsWith('link_remap'))).toEqual([]);
});
