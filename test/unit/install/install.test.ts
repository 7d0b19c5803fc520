// SPDX-License-Identifier: MIT
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  installPlugin,
  parseCompiledLibdir,
  programInterceptor,
  readManifest,
  rollBackPlugin,
  uninstallPlugin,
} from '../../../lib/install/index.ts';
import { inspectPlugin } from '../../../lib/inspect/index.ts';
import { compilePlugin } from '../inspect/compile.ts';

let dir: string;
let libdir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-install-'));
  libdir = join(dir, 'lib');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Builds the folder of a variant: our plugin and its helper programs. */
async function variantFolder(
  variant: string,
  version: string,
  helpers: readonly string[] = [],
): Promise<string> {
  const folder = join(dir, `${variant}-${version}`);
  mkdirSync(folder);
  const identity = `ccr-plugin: version=${version} variant=${variant}`;
  await compilePlugin(folder, 'cuda_plugin.so', { name: 'cuda_plugin', identity, hooks: [9] });
  rmSync(join(folder, 'cuda_plugin.so.c'));
  for (const name of helpers) {
    writeFileSync(join(folder, name), `#!/bin/sh\necho ${version}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

async function upstreamPlugin(name = 'cuda_plugin.so'): Promise<Buffer> {
  mkdirSync(libdir, { recursive: true });
  await compilePlugin(libdir, name, { name: 'cuda_plugin' });
  rmSync(join(libdir, `${name}.c`));
  return readFileSync(join(libdir, name));
}

const visible = (): string[] => readdirSync(libdir).sort();
const plugin = (): string => join(libdir, 'cuda_plugin.so');

describe('install', () => {
  it('creates the directory and records what it did', async () => {
    const source = await variantFolder('stock', '1.0.0');
    const now = () => new Date('2026-01-02T03:04:05Z');
    expect(await installPlugin({ source, libdir, now })).toEqual({
      libdir,
      changed: true,
      files: ['cuda_plugin.so'],
      variant: 'stock',
      version: '1.0.0',
      replaced: 'nothing',
    });
    expect(visible()).toEqual(['.criu-cuda-backup', 'cuda_plugin.so']);
    expect(readFileSync(plugin())).toEqual(readFileSync(join(source, 'cuda_plugin.so')));
    const manifest = await readManifest(libdir);
    expect(manifest.current).toMatchObject({ variant: 'stock', installedAt: '2026-01-02T03:04:05.000Z' });
  });

  it('changes nothing the second time', async () => {
    const source = await variantFolder('stock', '1.0.0');
    await installPlugin({ source, libdir });
    const before = statSync(plugin()).ino;
    expect(await installPlugin({ source, libdir })).toMatchObject({ changed: false });
    expect(statSync(plugin()).ino).toBe(before);
    expect((await readManifest(libdir)).history).toHaveLength(1);
  });

  it('replaces the file as a whole, so that an open one stays intact', async () => {
    const upstream = await upstreamPlugin();
    const before = statSync(plugin()).ino;
    const result = await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    expect(result.replaced).toBe("CRIU's own CUDA plugin");
    expect(statSync(plugin()).ino).not.toBe(before);
    expect(readFileSync(join(libdir, '.criu-cuda-backup', '1', 'cuda_plugin.so'))).toEqual(upstream);
  });

  it('installs helper programs with their mode', async () => {
    await installPlugin({ source: await variantFolder('parallel', '1.0.0', ['cuda-poold']), libdir });
    expect(statSync(join(libdir, 'cuda-poold')).mode & 0o777).toBe(0o755);
  });

  it('refuses a directory with a second CUDA plugin', async () => {
    await upstreamPlugin('cuda_plugin_old.so');
    const failure = installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    await expect(failure).rejects.toMatchObject({ code: 'ERR_INSTALL_REFUSED' });
    await expect(failure).rejects.toThrow(/cuda_plugin_old\.so is CRIU's own CUDA plugin under another name/);
    expect(visible()).toEqual(['cuda_plugin_old.so']);
  });

  it('leaves other plugins alone', async () => {
    mkdirSync(libdir);
    await compilePlugin(libdir, 'amdgpu_plugin.so', { name: 'amdgpu_plugin' });
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    expect(inspectPlugin(join(libdir, 'amdgpu_plugin.so')).kind).toBe('other');
  });

  it.each(['cuda_plugin.so', 'cuda-poold'])('refuses to replace a foreign %s', async (name) => {
    mkdirSync(libdir);
    writeFileSync(join(libdir, name), 'mine');
    const failure = installPlugin({
      source: await variantFolder('parallel', '1.0.0', ['cuda-poold']),
      libdir,
    });
    await expect(failure).rejects.toThrow(`${join(libdir, name)} was not installed by criu-cuda`);
    expect(visible()).toEqual([name]);
    expect(readFileSync(join(libdir, name), 'utf8')).toBe('mine');
  });

  it('says how to get a plugin that is not built', async () => {
    const failure = installPlugin({ source: join(dir, 'nothing'), libdir });
    await expect(failure).rejects.toMatchObject({ code: 'ERR_ENVIRONMENT' });
    expect(existsSync(libdir)).toBe(false);
  });

  it('does not wait for another installation, and takes over from a killed one', async () => {
    const source = await variantFolder('stock', '1.0.0');
    const lock = join(libdir, '.criu-cuda-backup', 'lock');
    mkdirSync(join(libdir, '.criu-cuda-backup'), { recursive: true });
    writeFileSync(lock, `${process.pid}`);
    await expect(installPlugin({ source, libdir })).rejects.toMatchObject({ code: 'ERR_INSTALL_BUSY' });
    writeFileSync(lock, '4194305'); // above the highest process id
    expect(await installPlugin({ source, libdir })).toMatchObject({ changed: true });
    expect(existsSync(lock)).toBe(false);
  });

  it('continues after an installation that was cut short', async () => {
    await installPlugin({ source: await variantFolder('parallel', '1.0.0', ['cuda-poold']), libdir });
    const old = readFileSync(join(libdir, 'cuda-poold'));
    const newer = await variantFolder('parallel', '2.0.0', ['cuda-poold']);
    await installPlugin({ source: newer, libdir });
    writeFileSync(join(libdir, 'cuda-poold'), old); // as if killed before this file
    expect(await installPlugin({ source: newer, libdir })).toMatchObject({ changed: true, version: '2.0.0' });
    expect(readFileSync(join(libdir, 'cuda-poold'), 'utf8')).toContain('2.0.0');
  });
});

describe('rollback', () => {
  it('rolls back step by step', async () => {
    const upstream = await upstreamPlugin();
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    await installPlugin({ source: await variantFolder('parallel', '2.0.0', ['cuda-poold']), libdir });

    expect(await rollBackPlugin({ libdir })).toMatchObject({ variant: 'stock', version: '1.0.0' });
    expect(inspectPlugin(plugin())).toMatchObject({ kind: 'criu-cuda', version: '1.0.0' });
    expect(visible()).toEqual(['.criu-cuda-backup', 'cuda_plugin.so']);

    expect(await rollBackPlugin({ libdir })).toMatchObject({ replaced: "CRIU's own CUDA plugin", files: [] });
    expect(readFileSync(plugin())).toEqual(upstream);
    await expect(rollBackPlugin({ libdir })).rejects.toThrow('has installed nothing in');
  });

  it('removes the plugin when there was none', async () => {
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    await rollBackPlugin({ libdir });
    expect(existsSync(plugin())).toBe(false);
  });

  it('refuses if another program replaced the plugin', async () => {
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    rmSync(plugin());
    const upstream = await upstreamPlugin();
    await expect(rollBackPlugin({ libdir })).rejects.toThrow(/is not what criu-cuda installed/);
    expect(readFileSync(plugin())).toEqual(upstream);
  });

  it('refuses damaged backups', async () => {
    await upstreamPlugin();
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    writeFileSync(join(libdir, '.criu-cuda-backup', '1', 'cuda_plugin.so'), 'x');
    await expect(rollBackPlugin({ libdir })).rejects.toThrow(/are damaged/);
    expect(inspectPlugin(plugin()).version).toBe('1.0.0');
  });
});

describe('uninstall', () => {
  it('restores the directory as it was before the first installation', async () => {
    const upstream = await upstreamPlugin();
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    await installPlugin({ source: await variantFolder('parallel', '2.0.0', ['cuda-poold']), libdir });
    await uninstallPlugin({ libdir });
    expect(visible()).toEqual(['cuda_plugin.so']);
    expect(readFileSync(plugin())).toEqual(upstream);
  });

  it('creates nothing if nothing was installed', async () => {
    await expect(uninstallPlugin({ libdir })).rejects.toMatchObject({ code: 'ERR_INSTALL_REFUSED' });
    expect(existsSync(libdir)).toBe(false);
  });

  it('names a damaged record', async () => {
    await installPlugin({ source: await variantFolder('stock', '1.0.0'), libdir });
    writeFileSync(join(libdir, '.criu-cuda-backup', 'manifest.json'), '{"schemaVersion":7}');
    await expect(uninstallPlugin({ libdir })).rejects.toMatchObject({ code: 'ERR_INSTALL_MANIFEST' });
  });
});

describe('parseCompiledLibdir', () => {
  it("reads criu's help", () => {
    const help = '  -L|--libdir           path to a plugin directory (by default /usr/lib/criu/)\n';
    expect(parseCompiledLibdir(help)).toBe('/usr/lib/criu');
    expect(parseCompiledLibdir('nothing of the kind')).toBeUndefined();
  });
});

describe('the interceptor beside the plugin', () => {
  const nameOf = (digit: string) => `libcuda_intercept-${digit.repeat(16)}.so`;
  const build = (digit: string) => {
    mkdirSync(join(dir, digit), { recursive: true });
    const path = join(dir, digit, nameOf(digit));
    writeFileSync(path, `build ${digit}`);
    return path;
  };
  const installed = () => join(libdir, 'criu-cuda');
  const selected = () => readlinkSync(join(installed(), 'libcuda_intercept.so'));

  it('stays after an upgrade, is chosen again by a rollback, and goes with the last plugin', async () => {
    await installPlugin({ source: await variantFolder('full', '1'), libdir, interceptor: build('a') });
    expect(selected()).toBe(nameOf('a'));
    const { ino } = statSync(join(installed(), nameOf('a')));
    await installPlugin({ source: await variantFolder('full', '2'), libdir, interceptor: build('b') });
    expect(selected()).toBe(nameOf('b'));
    expect(programInterceptor({}, [join(dir, 'none'), libdir])).toBe(join(installed(), nameOf('b')));
    expect(statSync(join(installed(), nameOf('a'))).ino).toBe(ino);
    expect(readFileSync(join(installed(), nameOf('a')), 'utf8')).toBe('build a');
    await rollBackPlugin({ libdir });
    expect(selected()).toBe(nameOf('a'));
    await uninstallPlugin({ libdir });
    expect(existsSync(installed())).toBe(false);
  });

  it('is upgraded alone, too, and the same build again changes nothing', async () => {
    const source = await variantFolder('full', '1');
    await installPlugin({ source, libdir, interceptor: build('a') });
    expect(await installPlugin({ source, libdir, interceptor: build('a') })).toMatchObject({
      changed: false,
    });
    expect(await installPlugin({ source, libdir, interceptor: build('b') })).toMatchObject({ changed: true });
    expect(selected()).toBe(nameOf('b'));
  });

  it('is not chosen for variants without it, and must be built', async () => {
    const source = await variantFolder('stock', '1');
    await installPlugin({ source, libdir });
    expect(existsSync(installed())).toBe(false);
    expect(programInterceptor({ CRIU_CUDA_BUILD_DIR: dir }, [libdir])).toContain(dir);
    await expect(
      installPlugin({ source: await variantFolder('full', '1'), libdir, interceptor: join(dir, 'no.so') }),
    ).rejects.toThrow('the interceptor is not built');
  });
});
