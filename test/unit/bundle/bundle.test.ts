// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compressorOf, parseLdd, runtimePackages } from '../../../lib/bundle/index.ts';

describe('compressorOf', () => {
  it('is gzip for machines without xz', () => {
    expect(compressorOf('a.tar.xz', 6)).toEqual({ program: 'xz', command: 'xz -6 -T0' });
    expect(compressorOf('a.tar.gz', 0)).toEqual({ program: 'gzip', command: 'gzip -1' });
  });

  it('refuses other endings, and names both', () => {
    expect(() => compressorOf('a.zip', 6)).toThrow('a.zip ends neither in .tar.xz nor in .tar.gz');
  });
});

describe('parseLdd', () => {
  it('leaves out libraries of the kernel and of glibc', () => {
    const text = `
	linux-vdso.so.1 (0x00007f04034ca000)
	libnl-3.so.200 => /lib/x86_64-linux-gnu/libnl-3.so.200 (0x00007f04032be000)
	libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007fd4c3a74000)
	libmd.so.0 => /lib/x86_64-linux-gnu/libmd.so.0 (0x00007f0403289000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0402d44000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f04034cc000)`;
    expect(parseLdd('criu', text)).toEqual([
      '/lib/x86_64-linux-gnu/libnl-3.so.200',
      '/lib/x86_64-linux-gnu/libmd.so.0',
    ]);
  });

  it('names a library that is missing', () => {
    expect(() => parseLdd('criu', '\tlibnet.so.1 => not found\n')).toThrow('criu needs libnet.so.1');
  });
});

describe('runtimePackages', () => {
  let dir: string;
  let root: string;
  const write = (path: string, manifest: unknown): void => {
    mkdirSync(join(dir, path), { recursive: true });
    writeFileSync(join(dir, path, 'package.json'), JSON.stringify(manifest));
  };
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'criu-cuda-modules-'));
    root = join(dir, 'node_modules', 'us');
    write('node_modules/us', {
      dependencies: { a: '1', 'node-addon-api': '1' },
      optionalDependencies: { 'of-windows': '1' },
      devDependencies: { vitest: '1' },
    });
    write('node_modules/us/node_modules/a', { dependencies: { '@scope/b': '1' } });
    write('node_modules/@scope/b', { dependencies: { a: '1', c: '1' } });
    write('node_modules/@scope/b/node_modules/c', {});
    write('node_modules/a', {});
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('follows dependencies as Node does, also those that npm hoisted', () => {
    const targets = runtimePackages(root, 'app').map(({ name, target }) => [name, target]);
    expect(targets).toEqual([
      ['a', 'app/node_modules/a'],
      ['@scope/b', 'node_modules/@scope/b'],
      ['a', 'node_modules/a'],
      ['c', 'node_modules/@scope/b/node_modules/c'],
    ]);
  });

  it('names a dependency that is not installed', () => {
    rmSync(join(dir, 'node_modules', '@scope'), { recursive: true });
    expect(() => runtimePackages(root, 'app')).toThrow('package @scope/b is not installed');
  });
});
