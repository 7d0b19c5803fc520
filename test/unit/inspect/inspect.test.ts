// SPDX-License-Identifier: MIT
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { inspectPluginDirectory, inspectPlugin, isCudaPlugin, parseElf } from '../../../lib/inspect/index.ts';
import { cacheDir, projectRoot } from '../../../lib/paths.ts';
import { variantPlugin } from '../../../lib/variant.ts';
import { cachedCriuDirs } from '../../../lib/machine/index.ts';
import { criuCacheLayout } from '../../../lib/setup/index.ts';
import { compilePlugin } from './compile.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-inspect-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('inspectPlugin', () => {
  it('reads hooks in the descriptor', async () => {
    const path = await compilePlugin(dir, 'cuda_plugin.so', {
      name: 'cuda_plugin',
      identity: 'ccr-plugin: version=9.8.7 variant=stock',
      hooks: [9, 10],
    });
    expect(inspectPlugin(path)).toMatchObject({
      kind: 'criu-cuda',
      version: '9.8.7',
      variant: 'stock',
      machine: process.arch === 'arm64' ? 'aarch64' : 'x86-64',
      descriptor: {
        name: 'cuda_plugin',
        interfaceVersion: '0.2.0',
        maxHooks: 12,
        hooks: ['RESUME_DEVICES_LATE', 'PAUSE_DEVICES'],
        hooksFrom: 'descriptor',
      },
    });
  });

  it('finds hooks that constructors register by their names, also in a stripped file', async () => {
    const path = await compilePlugin(dir, 'constructors.so', { name: 'cuda_plugin', constructorHook: 10 });
    await exec('strip', [path]);
    expect(inspectPlugin(path)).toMatchObject({
      kind: 'upstream-cuda',
      descriptor: { hooks: ['PAUSE_DEVICES'], hooksFrom: 'names' },
    });
  });

  it('does not run constructors', async () => {
    const marker = join(dir, 'constructor-ran');
    const path = await compilePlugin(dir, 'evil.so', {
      name: 'evil',
      extra: `#include <fcntl.h>\n__attribute__((constructor)) static void run(void) { open("${marker}", O_CREAT, 0600); }`,
    });
    expect(inspectPlugin(path)).toMatchObject({ kind: 'other', descriptor: { name: 'evil', hooks: [] } });
    expect(existsSync(marker)).toBe(false);
  });

  it('says why something is not a plugin', async () => {
    const text = join(dir, 'text.so');
    writeFileSync(text, 'no library');
    expect(inspectPlugin(text)).toMatchObject({
      kind: 'not-a-plugin',
      reason: 'not a readable shared object: it is not an ELF file',
    });
    const node = inspectPlugin(process.execPath);
    expect(node).toMatchObject({ kind: 'not-a-plugin', reason: 'it exports no CR_PLUGIN_DESC' });
    const whole = await compilePlugin(dir, 'whole.so', { name: 'cuda_plugin' });
    const short = join(dir, 'short.so');
    writeFileSync(short, readFileSync(whole).subarray(0, 3000));
    expect(inspectPlugin(short).reason).toMatch(/it ends before byte \d+/);
    expect(() => inspectPlugin(join(dir, 'missing.so'))).toThrow(
      /cannot read .*missing\.so: no such file or directory/,
    );
  });

  it('never crashes on damaged files', async () => {
    const path = await compilePlugin(dir, 'damaged.so', { name: 'cuda_plugin', hooks: [9, 10, 11] });
    const good = readFileSync(path);
    const results = new Map<string, number>();
    for (let at = 0; at < 64 + 64; at++) {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] ?? 0) ^ 0xff;
      writeFileSync(path, damaged);
      const { kind } = inspectPlugin(path);
      results.set(kind, (results.get(kind) ?? 0) + 1);
    }
    expect(results.get('not-a-plugin')).toBeGreaterThan(10);
  });
});

describe('parseElf', () => {
  it('agrees with readelf on a real library', async () => {
    const path = await compilePlugin(dir, 'compare.so', { name: 'x', hooks: [11] });
    const elf = parseElf(readFileSync(path));
    const { stdout } = await exec('readelf', ['-Wn', '-d', path]);
    expect(stdout).toContain(`Build ID: ${elf.buildId ?? 'none'}`);
    expect(elf.needed).toEqual([...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]));
  });
});

describe('inspectPluginDirectory', () => {
  it('lists what CRIU would load', async () => {
    const sub = join(dir, 'plugins');
    mkdirSync(sub);
    const path = await compilePlugin(sub, 'cuda_plugin.so', { name: 'cuda_plugin' });
    symlinkSync(path, join(sub, 'another.so'));
    writeFileSync(join(sub, 'cuda_plugin.so.bak'), '');
    const found = inspectPluginDirectory(sub);
    expect(found.map((info) => [info.path, isCudaPlugin(info)])).toEqual([
      [join(sub, 'another.so'), true],
      [join(sub, 'cuda_plugin.so'), true],
    ]);
  });

  it('is empty if there is no directory', () => {
    expect(inspectPluginDirectory(join(dir, 'nothing'))).toEqual([]);
  });
});

const upstream = cachedCriuDirs(cacheDir())
  .map((cached) => join(cached, criuCacheLayout.upstreamPlugin))
  .find((path) => existsSync(path));

describe("CRIU's own plugin", () => {
  it('is distinguished from ours', (context) => {
    if (upstream === undefined) return context.skip('setup has not built CRIU here');
    expect(inspectPlugin(upstream)).toMatchObject({
      kind: 'upstream-cuda',
      descriptor: {
        name: 'cuda_plugin',
        interfaceVersion: '0.2.0',
        hooks: ['RESUME_DEVICES_LATE', 'PAUSE_DEVICES', 'CHECKPOINT_DEVICES'],
        hooksFrom: 'names',
      },
    });
  });
});

describe('our plugin', () => {
  it('says what it is', (context) => {
    if (!existsSync(variantPlugin('stock'))) context.skip('the C parts are not built: criu-cuda build');
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(inspectPlugin(variantPlugin('stock'))).toMatchObject({
      kind: 'criu-cuda',
      version,
      variant: 'stock',
      descriptor: {
        name: 'cuda_plugin',
        maxHooks: 12,
        hooks: [
          'DUMP_UNIX_SK',
          'RESTORE_UNIX_SK',
          'DUMP_EXT_FILE',
          'RESTORE_EXT_FILE',
          'HANDLE_DEVICE_VMA',
          'UPDATE_VMA_MAP',
          'RESUME_DEVICES_LATE',
          'PAUSE_DEVICES',
          'CHECKPOINT_DEVICES',
        ],
        hooksFrom: 'descriptor',
      },
    });
  });
});
