// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { libcOf, preloadable } from '../../../lib/inspect/index.ts';

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const muslLoader = `/lib/ld-musl-${machine}.so.1`;
const glibcLoader = process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'criu-cuda-libc-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function put(path: string, content: string | Buffer = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

function putLink(target: string, path: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(target, join(root, path));
}

const libcText = (version: string) =>
  `\u007fELF\0GNU C Library (Some GLIBC ${version}-1) stable release version ${version}.\nCopyright\0`;

/** A program for this machine that names a loader, or none. */
function elf(interpreter: string | undefined): Buffer {
  const data = Buffer.alloc(256);
  data.writeUInt32LE(0x464c457f, 0);
  data.writeUInt8(2, 4);
  data.writeBigUInt64LE(64n, 32);
  data.writeUInt16LE(56, 54);
  data.writeUInt16LE(1, 56);
  data.writeUInt32LE(interpreter === undefined ? 1 : 3, 64);
  data.writeBigUInt64LE(128n, 72);
  data.write(`${interpreter ?? ''}\0`, 128, 'latin1');
  return data;
}

describe('the C library of an image', () => {
  it('is musl where only its loader is', () => {
    put(muslLoader);
    expect(libcOf(root)).toEqual({ kind: 'musl' });
    expect(preloadable(root)).toEqual({ ok: false, reason: expect.stringContaining('musl') as string });
  });

  it('is glibc with its version, also where musl is installed beside it', () => {
    put(muslLoader);
    put(`/usr/lib/${machine}-linux-gnu/libc.so.6`, libcText('2.31'));
    putLink('usr/lib', '/lib2');
    expect(libcOf(root)).toEqual({ kind: 'glibc', version: '2.31' });
    expect(preloadable(root)).toEqual({ ok: true });
  });

  it('refuses a glibc that is older than the interceptor needs', () => {
    put('/lib64/libc.so.6', libcText('2.12'));
    expect(preloadable(root)).toEqual({
      ok: false,
      reason: 'its glibc is 2.12, and the interceptor needs 2.17 or newer',
    });
  });

  it('accepts an image with static programs only', () => {
    put('/app', elf(undefined));
    expect(libcOf(root)).toEqual({ kind: 'none' });
    expect(preloadable(root)).toEqual({ ok: true });
  });

  it('follows links only below the root', () => {
    // on this machine this would be glibc
    putLink('/usr/lib', '/lib64');
    putLink('../../../../../../lib', '/usr/lib');
    expect(libcOf(root)).toEqual({ kind: 'none' });
    put('/real/libc.so.6', libcText('2.28'));
    rmSync(join(root, 'usr/lib'));
    putLink('/real', '/usr/lib');
    expect(libcOf(root)).toEqual({ kind: 'glibc', version: '2.28' });
  });

  it('does not wait for a FIFO, and gives up on links in a circle', () => {
    mkdirSync(join(root, 'lib64'));
    execFileSync('mkfifo', [join(root, 'lib64/libc.so.6')]);
    putLink('two', '/one');
    putLink('one', '/two');
    expect(libcOf(root, '/one')).toEqual({ kind: 'none' });
  });

  it('of this machine is glibc', () => {
    expect(libcOf('/').kind).toBe('glibc');
    expect(libcOf('/').version).toMatch(/^2\.\d+$/);
  });
});

describe('the C library of a program', () => {
  beforeEach(() => {
    put(`/lib/${machine}-linux-gnu/libc.so.6`, libcText('2.36'));
    put('/bin/musl', elf(muslLoader));
    put('/bin/glibc', elf(glibcLoader));
    put('/bin/static', elf(undefined));
  });

  it('is that of its loader', () => {
    expect(libcOf(root, '/bin/musl')).toEqual({ kind: 'musl' });
    expect(libcOf(root, '/bin/glibc')).toEqual({ kind: 'glibc', version: '2.36' });
    expect(libcOf(root, '/bin/static')).toEqual({ kind: 'none' });
    expect(preloadable(root, '/bin/musl').ok).toBe(false);
  });

  it('is that of the interpreter of a script', () => {
    put('/bin/one', '#! /bin/two -x\n');
    put('/bin/two', '#!/bin/musl\n');
    chmodSync(join(root, 'bin/one'), 0o755);
    expect(libcOf(root, '/bin/one')).toEqual({ kind: 'musl' });
    put('/bin/self', '#!/bin/self\n');
    expect(libcOf(root, '/bin/self')).toEqual({ kind: 'glibc', version: '2.36' });
  });

  it('is that of the root if the file does not tell', () => {
    put('/bin/text', 'echo\n');
    put('/bin/short', elf(muslLoader).subarray(0, 100));
    for (const path of ['/bin/text', '/bin/short', '/bin/none', '/bin'])
      expect(libcOf(root, path)).toEqual({ kind: 'glibc', version: '2.36' });
  });
});
