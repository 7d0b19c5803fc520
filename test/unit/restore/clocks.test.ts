// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeOrigin } from '../../../lib/kept/index.ts';
import { checkClocks } from '../../../lib/restore/clocks.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-clocks-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Images of a tree whose CLOCK_MONOTONIC was at 1000 s. */
function writeClocks(): void {
  const time = [0x08, 0xe8, 0x07, 0x10, 0x05];
  const message = [0x0a, time.length, ...time, 0x12, time.length, ...time];
  const head = Buffer.alloc(12);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(0x43114433, 4);
  head.writeUInt32LE(message.length, 8);
  writeFileSync(join(dir, 'timens-0.img'), Buffer.concat([head, Buffer.from(message)]));
}

const older = { hasTimeNamespaces: false, bootId: 'now', monotonicSeconds: 2000 };

it('continue in a time namespace, whatever the machine', () => {
  writeOrigin(dir, { bootId: 'before' });
  checkClocks(dir, [], { ...older, hasTimeNamespaces: true });
});

it('need none after the same start of the machine', () => {
  writeOrigin(dir, { bootId: 'now' });
  checkClocks(dir, [], older);
});

it('are refused without one on another machine or after a reboot', () => {
  writeClocks();
  writeOrigin(dir, { bootId: 'before' });
  expect(() => {
    checkClocks(dir, [], older);
  }).toThrow(/cannot be continued.*before a reboot/);
  expect(() => {
    checkClocks(dir, ['--unprivileged'], { ...older, hasTimeNamespaces: true });
  }).toThrow(expect.objectContaining({ hint: expect.stringContaining('--unprivileged') as string }));
});

it('tell of a reboot when the images do not: they are behind', () => {
  writeClocks();
  checkClocks(dir, [], older);
  expect(() => {
    checkClocks(dir, [], { ...older, monotonicSeconds: 999 });
  }).toThrow(/cannot be continued/);
});
