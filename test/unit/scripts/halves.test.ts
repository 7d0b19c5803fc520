// SPDX-License-Identifier: MIT
/** Two runs of tests at once, one of them in namespaces of its own. */
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

interface File {
  file: string;
  passed: number;
  skipped: string[];
  failures: { name: string; message: string }[];
  isCertain?: boolean;
}
interface Run {
  name: string;
  status: number;
  files: File[];
}
interface Halves {
  apart: (file: string, args: readonly string[]) => [file: string, args: string[]];
  canRunApart: () => boolean;
  together: (runs: readonly Run[]) => Pick<Run, 'status' | 'files'>;
}
const { apart, canRunApart, together } = (await import(
  pathToFileURL(join(projectRoot, 'scripts', 'halves.mjs')).href
)) as Halves;

const fine: File = { file: 'a', passed: 2, skipped: [], failures: [] };
const broken: File = { file: 'b', passed: 0, skipped: [], failures: [{ name: 'one', message: 'no' }] };

it('adds up what its runs say', () => {
  const runs = [
    { name: 'first', status: 0, files: [fine] },
    { name: 'second', status: 1, files: [broken] },
  ];
  expect(together(runs)).toEqual({ status: 1, files: [fine, broken] });
});

it.each([
  ['with an error', 1, [fine]],
  ['without tests', 0, []],
])('names a run that ended %s, also when another one explains its own error', (_, status, files) => {
  const runs = [
    { name: 'first', status: 1, files: [broken] },
    { name: 'second', status, files },
  ];
  const missing = {
    ...{ file: 'second', passed: 0, skipped: [], isCertain: true },
    failures: [{ name: 'second', message: 'did not finish' }],
  };
  expect(together(runs)).toEqual({ status: 1, files: [broken, ...files, missing] });
});

it('runs a command with pids, ports and shared memory of its own, and gives its exit status', async (context) => {
  if (!canRunApart()) context.skip('no namespaces can be created here');
  const script = `
    for name in pid net ipc mnt; do readlink /proc/self/ns/$name; done
    ls -A /dev/shm /run; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; cat /sys/class/net/lo/flags; exit 3`;
  const [file, args] = apart('sh', ['-c', script]);
  const { stdout } = await exec('sh', ['-c', '"$@"; echo $?', 'sh', file, ...args]);
  const lines = stdout.trim().split('\n');
  for (const [index, name] of ['pid', 'net', 'ipc', 'mnt'].entries())
    expect(lines[index]).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
  const others = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).length;
  expect(lines.slice(4, 7)).toEqual(['/dev/shm:', '', '/run:']);
  expect(Number(lines[7])).toBeLessThan(others);
  expect(lines.slice(8)).toEqual(['sh', '0x9', '3']);
});
