// SPDX-License-Identifier: MIT
/** Whose run directory is believed. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { opStatusPath, readOpStatus, resolveOperation } from '../../lib/criu/index.ts';
import { controlSocket, readPoolStatus } from '../../lib/pool/index.ts';
import { checkRunDir, openRunDir } from '../../lib/run-dir.ts';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;
const refused = { code: 'ERR_ENVIRONMENT', hint: expect.stringContaining('CRIU_CUDA_RUN_DIR') as string };

let dir: string;
let runDir: string;
let server: Server | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'run-dir-'));
  runDir = join(dir, 'run');
  mkdirSync(runDir, { mode: 0o700 });
});
afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(dir, { recursive: true });
});

/** A server that answers like a daemon, and counts who asked it. */
async function impostor(): Promise<() => number> {
  let asked = 0;
  server = createServer((socket) => {
    asked += 1;
    socket.end('{}\n');
  }).listen(controlSocket(runDir));
  await once(server, 'listening');
  return () => asked;
}

it('accepts a directory of the caller, and one that does not exist', () => {
  expect(() => {
    checkRunDir(runDir);
    checkRunDir(join(dir, 'none'));
  }).not.toThrow();
});

it.each([
  [0o770, 'mode 0770'],
  [0o1777, 'mode 1777'],
])('refuses a directory with mode %o', (mode, reason) => {
  chmodSync(runDir, mode);
  expect(() => openRunDir(runDir)).toThrow(reason);
});

it('refuses a symbolic link and a file', () => {
  symlinkSync(runDir, join(dir, 'link'));
  writeFileSync(join(dir, 'file'), '');
  for (const name of ['link', 'file'])
    expect(() => openRunDir(join(dir, name))).toThrow('it is a symbolic link, or not a directory');
});

it('does not ask a socket that others may have put there', async () => {
  const asked = await impostor();
  chmodSync(controlSocket(runDir), 0o777);
  await expect(readPoolStatus({ runDir })).rejects.toMatchObject(refused);
  chmodSync(controlSocket(runDir), 0o600);
  chmodSync(runDir, 0o777);
  await expect(readPoolStatus({ runDir })).rejects.toMatchObject(refused);
  expect(asked()).toBe(0);
  chmodSync(runDir, 0o700);
  await expect(readPoolStatus({ runDir })).rejects.toMatchObject({ code: 'ERR_POOL' });
  expect(asked()).toBe(1);
});

it('does not follow a link in the place of the socket', async () => {
  const asked = await impostor();
  symlinkSync(controlSocket(runDir), join(dir, 'control.sock'));
  await expect(readPoolStatus({ runDir: dir })).rejects.toThrow('it is not a socket');
  expect(asked()).toBe(0);
});

describe.runIf(isRoot)('a directory that another user made first', () => {
  beforeEach(() => {
    chownSync(runDir, NOBODY, NOBODY);
  });

  it('is refused before criu runs', async () => {
    const options = { imagesDir: dir, libdir: dir, criu: '/bin/true', env: { CRIU_CUDA_RUN_DIR: runDir } };
    await expect(resolveOperation(options)).rejects.toMatchObject(refused);
  });

  it('is not asked for a status', async () => {
    const asked = await impostor();
    await expect(readPoolStatus({ runDir })).rejects.toThrow(`belongs to user ${NOBODY}`);
    expect(asked()).toBe(0);
  });

  it('has no status file that is believed', () => {
    writeFileSync(opStatusPath(runDir, 1), '{"event":"begin"}\n');
    expect(() => readOpStatus(runDir, 1)).toThrow(expect.objectContaining(refused));
  });
});

it('does not wait for a FIFO in the place of a status file', () => {
  execFileSync('mkfifo', [opStatusPath(runDir, 1)]);
  expect(readOpStatus(runDir, 1)).toBeUndefined();
});
