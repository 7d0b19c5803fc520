// SPDX-License-Identifier: MIT
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { choosePlugin, findPluginDir, imageNeeds } from '../../../lib/criu/index.ts';
import { EnvironmentError, UsageError } from '../../../lib/errors.ts';
import { artifactDir } from '../../../lib/paths.ts';
import { type PluginVariant, pluginVariants, variantDir, variantPlugin } from '../../../lib/variant.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-plugin-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** A directory with the plugin of a variant, or with a file that is not a plugin. */
function addPlugin(path: string, variant?: PluginVariant): string {
  const place = join(dir, path);
  mkdirSync(place, { recursive: true });
  const file = join(place, 'cuda_plugin.so');
  if (variant === undefined) writeFileSync(file, '');
  else copyFileSync(variantPlugin(variant), file);
  return place;
}

const plain = imageNeeds('/img', ['cuda_plugin']);
const pages = imageNeeds('/img', ['cuda_plugin', 'cuda-host-7.img']);
const devices = imageNeeds('/img', ['cuda_plugin', 'cuda.img']);
const gpu = imageNeeds('/img', ['cuda_plugin', 'cuda-host-7.img', 'cuda-7.img']);

describe('what was typed', () => {
  it('is used, and nothing else', () => {
    addPlugin('lib/stock');
    const chosen = addPlugin('chosen');
    const env = { CRIU_CUDA_BUILD_DIR: dir };
    expect(findPluginDir({ libdir: chosen, variant: 'stock' }, env)).toBe(chosen);
    expect(() => findPluginDir({ libdir: join(dir, 'lib') }, env)).toThrow(EnvironmentError);
  });

  it('is refused when the variant is not built or unknown', () => {
    const env = { CRIU_CUDA_BUILD_DIR: dir };
    expect(() => findPluginDir({ variant: 'stock' }, env)).toThrow('variant stock is not built');
    expect(() => findPluginDir({ variant: 'turbo' }, env)).toThrow(UsageError);
  });

  it.each([
    ['stock', pages, 'variant stock cannot restore /img, whose cuda-host-7.img holds host memory'],
    ['stock', gpu, 'variant stock cannot restore /img, whose cuda-7.img holds device memory'],
    ['remap', gpu, 'variant remap cannot restore /img, whose cuda-7.img holds device memory'],
  ] as const)('is refused when %s cannot restore the images', (variant, needs, message) => {
    expect(() => choosePlugin({ variant }, { needs })).toThrow(message);
    const libdir = addPlugin('mine', variant);
    expect(() => choosePlugin({ libdir }, { needs })).toThrow(`${variant} in ${libdir} cannot restore /img`);
  });

  it.each([
    ['stock', plain],
    ['stock', devices],
    ['remap', pages],
    ['parallel', gpu],
    ['full', gpu],
  ] as const)('is used when %s can restore the images', (variant, needs) => {
    expect(choosePlugin({ variant }, { needs }).dir).toBe(variantDir(variant));
  });
});

describe('the default', () => {
  const env = { CRIU_CUDA_BUILD_DIR: artifactDir() };

  it('is the largest variant that is built', () => {
    expect(choosePlugin({}, { env })).toMatchObject({ plugin: { variant: 'full' }, notes: [] });
    const stock = addPlugin('lib/stock');
    expect(findPluginDir({}, { CRIU_CUDA_BUILD_DIR: dir })).toBe(stock);
    const remap = addPlugin('lib/remap');
    expect(findPluginDir({}, { CRIU_CUDA_BUILD_DIR: dir })).toBe(remap);
  });

  it.each(pluginVariants)('is what CRIU_LIBS_DIR names, here %s, if it can restore the images', (variant) => {
    const other = addPlugin('other', variant);
    const from = { env: { ...env, CRIU_LIBS_DIR: other } };
    expect(choosePlugin({}, from)).toMatchObject({ dir: other, plugin: { variant }, notes: [] });
    const canPages = variant !== 'stock';
    const canGpu = variant === 'parallel' || variant === 'full';
    const full = { dir: variantDir('full', env) };
    const why = expect.stringContaining(
      `${variant} in ${other} (CRIU_LIBS_DIR) cannot restore /img, whose cuda-`,
    ) as string;
    expect(choosePlugin({}, { ...from, needs: plain }).dir).toBe(other);
    expect(choosePlugin({}, { ...from, needs: pages })).toMatchObject(
      canPages ? { dir: other, notes: [] } : { ...full, notes: [why] },
    );
    expect(choosePlugin({}, { ...from, needs: gpu })).toMatchObject(
      canGpu ? { dir: other, notes: [] } : { ...full, notes: [why] },
    );
  });

  it('says that CRIU_LIBS_DIR has no plugin', () => {
    const { notes } = choosePlugin({}, { env: { ...env, CRIU_LIBS_DIR: join(dir, 'none') } });
    expect(notes).toEqual([
      `${dir}/none (CRIU_LIBS_DIR) does not contain cuda_plugin.so: full in ${variantDir('full', env)} is used`,
    ]);
  });

  it("is what is installed, but not another project's plugin, nor with a build directory", () => {
    const installed = addPlugin('installed', 'remap');
    const foreign = addPlugin('foreign');
    const from = { env: {}, systemDirs: [foreign, installed] };
    expect(choosePlugin({}, from).dir).toBe(installed);
    expect(choosePlugin({}, { ...from, needs: gpu })).toMatchObject({
      dir: variantDir('full', {}),
      notes: [expect.stringContaining(`remap in ${installed} (criu-cuda install) cannot restore /img`)],
    });
    expect(choosePlugin({}, { ...from, env }).dir).toBe(variantDir('full', env));
    const nothing = { CRIU_CUDA_BUILD_DIR: join(dir, 'nothing') };
    expect(choosePlugin({}, { ...from, env: nothing }).dir).toBe(foreign);
    expect(choosePlugin({}, { ...from, env: nothing, needs: devices }).dir).toBe(installed);
  });

  it('is not an installed plugin of another version', () => {
    const installed = addPlugin('installed', 'full');
    const file = join(installed, 'cuda_plugin.so');
    const { version = '' } = choosePlugin({ libdir: installed }).plugin;
    const other = version.replace(/^\d/, '9');
    const bytes = Buffer.from(
      readFileSync(file).toString('latin1').replaceAll(`version=${version}`, `version=${other}`),
      'latin1',
    );
    writeFileSync(file, bytes);
    expect(choosePlugin({}, { env: {}, systemDirs: [installed] })).toMatchObject({
      dir: variantDir('full', {}),
      notes: [expect.stringContaining(`is of version ${other}, and this is ${version}`)],
    });
  });

  it('is what comes first of the directories that an operation prefers', () => {
    const remap = addPlugin('remap', 'remap');
    const use = { env, preferred: [{ dir: remap, from: 'a label' }] };
    expect(choosePlugin({}, use).dir).toBe(remap);
    expect(choosePlugin({}, { ...use, needs: gpu })).toMatchObject({
      plugin: { variant: 'full' },
      notes: [expect.stringContaining(`remap in ${remap} (a label) cannot restore`)],
    });
  });

  it('is an error when nothing can restore the images', () => {
    addPlugin('lib/stock', 'stock');
    const use = { env: { CRIU_CUDA_BUILD_DIR: dir }, systemDirs: [], needs: gpu };
    expect(() => choosePlugin({}, use)).toThrow('cannot find a plugin that can restore /img');
    expect(() => choosePlugin({}, { ...use, needs: pages })).toThrow(EnvironmentError);
    expect(choosePlugin({}, { ...use, needs: plain }).plugin.variant).toBe('stock');
  });
});

it('a directory with two CUDA plugins, which CRIU would both load, is refused', () => {
  const both = addPlugin('both', 'stock');
  expect(findPluginDir({ libdir: both })).toBe(both);
  copyFileSync(variantPlugin('stock'), join(both, 'other.so'));
  expect(() => findPluginDir({ libdir: both })).toThrow('contains 2 CUDA plugins');
});
