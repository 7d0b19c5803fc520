// SPDX-License-Identifier: MIT
/** `criu-cuda build` in a copy of a checkout builds the copy's sources, not those that were configured first. */
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

const MARK = 'built from the copy';
let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'criu-cuda-moved-'));
});
afterEach(() => {
  rmSync(parent, { recursive: true, force: true });
});

/** A checkout with everything that a build needs. */
function copyCheckout(from: string, to: string): void {
  const isKept = (path: string): boolean => !/\/plugins-cuda\/(?:build[^/]*|test)$/.test(path);
  for (const name of ['dist', 'package.json', 'plugins-cuda']) {
    const filter = from === projectRoot ? isKept : (): boolean => true;
    cpSync(join(from, name), join(to, name), { recursive: true, filter, preserveTimestamps: true });
  }
}

/** The installed packages, except for one. */
function linkModules(root: string, without?: string): void {
  mkdirSync(join(root, 'node_modules'));
  for (const name of readdirSync(join(projectRoot, 'node_modules'))) {
    if (name !== without) symlinkSync(join(projectRoot, 'node_modules', name), join(root, 'node_modules', name));
  }
}

async function buildStock(root: string): Promise<void> {
  await exec(process.execPath, [join(root, 'dist', 'cli.js'), 'build', '--variant', 'stock'], {
    env: { CRIU_CUDA_BUILD_DIR: undefined },
    timeoutMs: 240_000,
  });
}

it('configures a copied build directory for its new place', { timeout: 300_000 }, async () => {
  const [original, copy] = [join(parent, 'original'), join(parent, 'copy')];
  copyCheckout(projectRoot, original);
  linkModules(original);
  await buildStock(original);
  copyCheckout(original, copy);
  linkModules(copy, 'cmake-js'); // without it, CMake itself is called
  const source = join('plugins-cuda', 'plugin', 'plugin.c');
  const mark = `const char *ccr_test_mark(void);\nconst char *ccr_test_mark(void)\n{\n\treturn "${MARK}";\n}\n`;
  appendFileSync(join(copy, source), mark);
  await buildStock(copy);
  const plugin = (root: string): string =>
    readFileSync(join(root, 'plugins-cuda', 'build', 'lib', 'stock', 'cuda_plugin.so'), 'latin1');
  // not toContain: its message would contain the file
  expect(plugin(copy).includes(MARK)).toBe(true);
  expect(plugin(original).includes(MARK)).toBe(false);
});
