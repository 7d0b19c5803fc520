// SPDX-License-Identifier: MIT
// Dumped, restored, used, dumped again, ten times: nothing piles up in the process or in the images.
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { SharingServer } from '../../helpers/sharing-server.ts';

const GENERATIONS = 10;

let machine: Machine;
let server: SharingServer;
beforeEach(async () => {
  machine = new Machine();
  server = await SharingServer.start(machine);
});
afterEach(async () => {
  await server.close();
  await machine.close();
});

interface Counts {
  descriptors: number[];
  mappings: number[];
}

/** Of each process of the tree. */
function count(): Counts {
  const pids = readProcessTree(server.pid)
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
    expect(await server.ask()).toMatchObject({ private: generation, shared: generation, in_time: true });
    const imagesDir = join(machine.dir, `images-${generation}`);
    const counts = count();
    const tree = readProcessTree(server.pid).map((one) => one.pid);
    await checkpoint({ ...options, pid: server.pid, imagesDir });
    await Promise.all(tree.map((one) => waitForExit(one)));
    found.push({ counts, images: measure(imagesDir) });
    await restore({ ...options, imagesDir });
    rmSync(imagesDir, { recursive: true });
  }
  expect(await server.ask()).toMatchObject({
    private: GENERATIONS + 1,
    shared: GENERATIONS + 1,
    in_time: true,
  });
  const [first, second, ...later] = found;
  // a process may have had one more at first, which it was about to close
  for (const { counts } of found.slice(1))
    for (const [index, nr] of counts.descriptors.entries())
      expect(nr).toBeLessThanOrEqual(first?.counts.descriptors[index] ?? 0);
  for (const { counts, images } of later) {
    expect(counts.mappings).toEqual(second?.counts.mappings);
    expect(images.names).toBe(second?.images.names);
    expect(images.bytes).toBeLessThan((second?.images.bytes ?? 0) * 1.02);
    expect(images.pages).toBeLessThan((second?.images.pages ?? 0) * 1.05);
  }
  expect(server.linkRemaps()).toEqual([]);
});
