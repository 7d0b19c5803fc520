// SPDX-License-Identifier: MIT
/** Which method criu is told to use, with programs that work or fail. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { chooseNetworkLock } from '../../../lib/criu/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-network-'));
  vi.stubEnv('PATH', dir);
  vi.stubEnv('XDG_CACHE_HOME', join(dir, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

/** A program that succeeds with exactly these words. */
function program(name: string, words: string): string {
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n[ "$*" = "${words}" ]\n`);
  chmodSync(path, 0o755);
  return path;
}

const nftables = 'check --feature network_lock_nftables';

it("is criu's default where iptables runs", async () => {
  program('iptables', '-n -w -L');
  program('iptables-restore', '--version');
  expect(await chooseNetworkLock(program('criu', nftables))).toBeUndefined();
});

it('is nftables where iptables does not run, is missing in part, or is missing', async () => {
  const criu = program('criu', nftables);
  const choice = {
    method: 'nftables',
    warning: expect.stringContaining('--network-lock nftables') as string,
  };
  expect(await chooseNetworkLock(criu)).toEqual(choice);
  program('iptables', '-n -w -L');
  expect(await chooseNetworkLock(criu)).toEqual(choice);
  program('iptables', 'something else');
  program('iptables-restore', '--version');
  expect(await chooseNetworkLock(criu)).toEqual(choice);
});

it('is asked for once, and again when a program changes', async () => {
  const criu = program('criu', nftables);
  expect(await chooseNetworkLock(criu)).toMatchObject({ method: 'nftables' });
  const asked = join(dir, 'asked');
  writeFileSync(criu, `#!/bin/sh\necho >> ${asked}\n[ "$*" = "${nftables}" ]\n`);
  expect(await chooseNetworkLock(criu)).toMatchObject({ method: 'nftables' });
  expect(await chooseNetworkLock(criu)).toMatchObject({ method: 'nftables' });
  expect(readFileSync(asked, 'utf8')).toBe('\n');
  program('iptables', '-n -w -L');
  program('iptables-restore', '--version');
  expect(await chooseNetworkLock(criu)).toBeUndefined();
});

it('is skip where nothing runs, and says so', async () => {
  expect(await chooseNetworkLock(program('criu', 'dump'))).toEqual({
    method: 'skip',
    warning: expect.stringContaining('--network-lock skip') as string,
  });
});

it('is what the user chose', async () => {
  const criu = program('criu', nftables);
  expect(await chooseNetworkLock(criu, ['--network-lock', 'iptables'])).toBeUndefined();
  expect(await chooseNetworkLock(criu, ['--network-lock=skip'])).toBeUndefined();
});
