// SPDX-License-Identifier: MIT
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listVariants, pluginVariants, variantDir, variantPlugin } from '../../lib/variant.ts';
import { compilePlugin } from './inspect/compile.ts';

it('lists which variants are built and where they are installed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ccr-variants-'));
  try {
    const env = { CRIU_CUDA_BUILD_DIR: join(dir, 'build') };
    const libdir = join(dir, 'lib');
    mkdirSync(variantDir('stock', env), { recursive: true });
    mkdirSync(libdir);
    const identity = 'ccr-plugin: version=3.2.1 variant=stock';
    await compilePlugin(variantDir('stock', env), 'cuda_plugin.so', { name: 'cuda_plugin', identity });
    copyFileSync(variantPlugin('stock', env), join(libdir, 'cuda_plugin.so'));

    const variants = listVariants([join(dir, 'nothing'), libdir], env);
    expect(variants.map(({ name }) => name)).toEqual([...pluginVariants]);
    expect(variants[0]).toMatchObject({ name: 'stock', version: '3.2.1', installedIn: [libdir] });
    expect(
      variants
        .slice(1)
        .every(({ version, installedIn }) => version === undefined && installedIn.length === 0),
    ).toBe(true);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
