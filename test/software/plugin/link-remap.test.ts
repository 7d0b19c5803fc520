// SPDX-License-Identifier: MIT
// Programs with deleted files that have other names in one directory: CRIU links each of them there until its restore,
// under a name from its count of files, and a dump fails where the name is taken.
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await machine.close();
});

/** Becomes the program whose words follow the path of a file, with that file as a descriptor. */
const WITH_DELETED_FILE = `
import os, sys
path = sys.argv[1]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, path.encode())
os.link(path, path + ".other")
os.unlink(path)
os.dup2(fd, 9)
os.execv(sys.argv[2], sys.argv[2:])
`;

it('dumps a second one before the first is restored', async () => {
  const files = join(machine.dir, 'files');
  mkdirSync(files);
  const dumped = [];
  for (const name of ['one', 'two']) {
    const path = join(files, name);
    const workload = await machine.start({ under: ['python3', '-c', WITH_DELETED_FILE, path] });
    const sum = await workload.verify();
    const imagesDir = join(machine.dir, `images-${name}`);
    mkdirSync(imagesDir);
    const dump = await machine.dump(workload, { imagesDir, args: ['--link-remap'] });
    expect(dump.exitCode, dump.log).toBe(0);
    dumped.push({ path, workload, sum, imagesDir });
  }
  expect(readdirSync(files).filter((name) => name.startsWith('link_remap.'))).toHaveLength(2);
  for (const { path, workload, sum, imagesDir } of dumped) {
    const restored = await machine.restore({ imagesDir });
    expect(restored.exitCode, restored.log).toBe(0);
    expect(await workload.verify()).toBe(sum);
    const file = `/proc/${workload.pid}/fd/9`;
    expect(readFileSync(file, 'utf8')).toBe(path);
    expect(statSync(file).ino).toBe(statSync(`${path}.other`).ino);
  }
  expect(readdirSync(files).sort()).toEqual(['one.other', 'two.other']);
});
