// SPDX-License-Identifier: MIT
/** Checksums that are taken while criu dumps, and used for files that have not changed since. */
import {
  closeSync,
  copyFileSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sampleAhead, Samples } from '../../../lib/kept/index.ts';
import { sampleOf } from '../../../lib/kept/version.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { waitUntil } from '../../helpers/wait.ts';

/** A file that nobody is writing. */
const manifest = join(projectRoot, 'package.json');

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-samples-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Notes which files it is given. */
class Noting extends Samples {
  readonly taken: string[] = [];
  override take(path: string): void {
    super.take(path);
    this.taken.push(path);
  }
}

it('takes the checksum of each file that a process has open', async () => {
  const fd = openSync(manifest, 'r');
  const samples = new Noting();
  const stop = sampleAhead(samples, [process.pid]);
  await waitUntil(() => samples.taken.includes(manifest));
  stop();
  closeSync(fd);
  expect(samples.taken.filter((path) => path === manifest)).toHaveLength(1);
  expect(samples.taken.filter((path) => path.startsWith('/proc/') || !path.startsWith('/'))).toEqual([]);
});

it('takes none after it was stopped', async () => {
  const samples = new Noting();
  sampleAhead(samples, [process.pid])();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(samples.taken).toEqual([]);
});

const later = (): number => Date.now() + 60_000;

it('uses what it has taken', () => {
  const samples = new Samples(later);
  const path = join(dir, 'file');
  writeFileSync(path, 'text');
  const [stat, expected] = [lstatSync(path), sampleOf(path)];
  samples.take(path);
  rmSync(path); // now it can only be known from before
  expect(expected).toMatch(/^[0-9a-f]{32}$/);
  expect(samples.of(path, stat)).toBe(expected);
});

it('is of a library only where CRIU stores no build id', () => {
  const samples = new Samples(later);
  const [library, without] = [join(dir, 'library'), join(dir, 'without')];
  copyFileSync(realpathSync('/bin/sh'), library);
  const header = readFileSync(library).subarray(0, 64);
  header.writeUInt16LE(0, 56); // it has no notes
  writeFileSync(without, header);
  const [one, other] = [lstatSync(library), lstatSync(without)];
  const expected = sampleOf(without);
  for (const path of [library, without]) {
    samples.take(path);
    rmSync(path);
  }
  expect(samples.of(library, one)).toBeUndefined();
  expect(samples.of(without, other)).toBe(expected);
});

it.each([
  ['has changed since', later],
  ['was being written', Date.now],
])('takes the checksum of a file once more that %s', (_, now) => {
  const samples = new Samples(now);
  const path = join(dir, 'file');
  writeFileSync(path, 'before');
  samples.take(path);
  const before = sampleOf(path);
  writeFileSync(path, 'behind');
  expect(samples.of(path, lstatSync(path))).toBe(sampleOf(path));
  expect(samples.of(path, lstatSync(path))).not.toBe(before);
});
