// SPDX-License-Identifier: MIT
/**
 * Which C library a program, or a container's image, uses: the interceptor is a library for glibc. Every path is looked
 * up below a root directory, whose symbolic links must not lead out of it.
 * @module
 */
import { closeSync, fstatSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { checkPath } from '../check.ts';

/** A C library. */
export interface Libc {
  /** `none`: static programs only. */
  kind: 'glibc' | 'musl' | 'none';
  /** Version of glibc, as `2.36`, if it could be read. */
  version?: string | undefined;
}

/** Whether the interceptor can be preloaded. */
export interface Preloadable {
  /** Whether it can. */
  ok: boolean;
  /** Why not: one sentence without a full stop. */
  reason?: string | undefined;
}

/** The interceptor needs no symbol of a newer one; the C build checks it. */
export const oldestGlibc = '2.17';

const MOST_LINKS = 40;
const MOST_BYTES = 64 * 2 ** 20;
const PT_INTERP = 3;

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const loaders = {
  musl: [`lib/ld-musl-${machine}.so.1`],
  glibc: machine === 'aarch64' ? ['lib/ld-linux-aarch64.so.1'] : ['lib64/ld-linux-x86-64.so.2'],
};
const libraries = [`${machine}-linux-gnu`, '']
  .flatMap((dir) => [join('lib', dir), join('usr/lib', dir)])
  .concat('lib64', 'usr/lib64')
  .map((dir) => join(dir, 'libc.so.6'));

/** Follows links as a process with this root directory would. @returns `undefined` if there is nothing */
function resolveBelow(root: string, path: string): string | undefined {
  let words = path.split('/');
  let at: string[] = [];
  let links = 0;
  while (words.length > 0) {
    const [word = '', ...rest] = words;
    words = rest;
    if (word === '' || word === '.') continue;
    if (word === '..') {
      at = at.slice(0, -1);
      continue;
    }
    const next = join(root, ...at, word);
    try {
      if (!lstatSync(next).isSymbolicLink()) {
        at = [...at, word];
        continue;
      }
      const target = readlinkSync(next);
      links += 1;
      if (links > MOST_LINKS) return undefined;
      if (target.startsWith('/')) at = [];
      words = [...target.split('/'), ...words];
    } catch {
      return undefined;
    }
  }
  return join(root, ...at);
}

/** The beginning of a regular file below the root. */
function readBelow(root: string, path: string, bytes: number): Buffer | undefined {
  const resolved = resolveBelow(root, path);
  if (resolved === undefined) return undefined;
  let fd: number;
  try {
    // a FIFO or a device must not keep us waiting
    fd = openSync(resolved, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const info = fstatSync(fd);
    if (!info.isFile()) return undefined;
    const data = Buffer.alloc(Math.min(info.size, bytes));
    return data.subarray(0, readSync(fd, data, 0, data.length, 0));
  } finally {
    closeSync(fd);
  }
}

function glibcVersion(root: string): string | undefined {
  for (const path of libraries) {
    const text = readBelow(root, path, MOST_BYTES)?.toString('latin1');
    const version = text === undefined ? undefined : /GNU C Library [^\n]*version (\d+\.\d+)/.exec(text)?.[1];
    if (version !== undefined) return version;
  }
  return undefined;
}

function glibcIn(root: string): Libc {
  const version = glibcVersion(root);
  return { kind: 'glibc', ...(version === undefined ? {} : { version }) };
}

const exists = (root: string) => (path: string) => readBelow(root, path, 0) !== undefined;

/** The loader that an ELF file names; `none` for a static program, `undefined` for another kind of file. */
function interpreterOf(data: Buffer): string | undefined {
  if (data.length < 64 || data.readUInt32LE(0) !== 0x464c457f || data.readUInt8(4) !== 2) return undefined;
  const table = Number(data.readBigUInt64LE(32));
  const [size, count] = [data.readUInt16LE(54), data.readUInt16LE(56)];
  for (let index = 0; index < count; index++) {
    const at = table + index * size;
    if (size < 56 || at + size > data.length) return undefined;
    if (data.readUInt32LE(at) !== PT_INTERP) continue;
    const from = Number(data.readBigUInt64LE(at + 8));
    const to = data.indexOf(0, from);
    return to < from ? undefined : data.toString('latin1', from, to);
  }
  return 'none';
}

/** The C library of one program, or `undefined` if the file does not tell. */
function libcOfProgram(root: string, program: string, scripts: number): Libc | undefined {
  const data = readBelow(root, program, 65_536);
  if (data === undefined) return undefined;
  const [, script] = /^#![ \t]*(\S+)/.exec(data.toString('latin1', 0, 256)) ?? [];
  if (script !== undefined) return scripts > 0 ? libcOfProgram(root, script, scripts - 1) : undefined;
  const interpreter = interpreterOf(data);
  if (interpreter === undefined) return undefined;
  if (interpreter === 'none') return { kind: 'none' };
  return /\/ld-musl-[^/]*$/.test(interpreter) ? { kind: 'musl' } : glibcIn(root);
}

/**
 * The C library of a program, or of most programs below a root directory. Where both are installed, it is glibc.
 * @param root `/`, or where a container's image is mounted
 * @param program a path below `root`, of a program or a script; if it cannot be read, the root directory decides
 */
export function libcOf(root: string, program?: string): Libc {
  checkPath('root', root);
  const own = program === undefined ? undefined : libcOfProgram(root, program, 4);
  if (own !== undefined) return own;
  if (loaders.glibc.some(exists(root)) || libraries.some(exists(root))) return glibcIn(root);
  return { kind: loaders.musl.some(exists(root)) ? 'musl' : 'none' };
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = than.split('.').map(Number);
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}

/**
 * Whether programs below a root directory, or one of them, start with the interceptor preloaded and can use it.
 * @param root `/`, or where a container's image is mounted
 * @param program as for {@link libcOf}
 */
export function preloadable(root: string, program?: string): Preloadable {
  const { kind, version } = libcOf(root, program);
  if (kind === 'musl')
    return { ok: false, reason: "its C library is musl, which NVIDIA's driver does not support" };
  if (version !== undefined && isOlder(version, oldestGlibc)) {
    return {
      ok: false,
      reason: `its glibc is ${version}, and the interceptor needs ${oldestGlibc} or newer`,
    };
  }
  // LD_PRELOAD means nothing to a static program
  return { ok: true };
}
