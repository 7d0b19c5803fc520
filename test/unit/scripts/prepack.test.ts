// SPDX-License-Identifier: MIT
/** `npm pack` in a folder that has this package's scripts, but nothing that is built. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-prepack-'));
  for (const name of ['package.json', 'scripts/prepack.mjs'])
    cpSync(join(projectRoot, name), join(dir, name));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const pack = (): Promise<ExecResult> => execResult('npm', ['pack', '--dry-run'], { cwd: dir });

function build(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), '');
  }
}

it('is refused without what is built, with the remedy', async () => {
  const prebuilds = `prebuilds/linux-${process.arch}`;
  build('dist/cli.cjs', 'man/criu-cuda.1', `${prebuilds}/criu_cuda.node`);
  const refused = await pack();
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stdout + refused.stderr).toContain(
    `cannot pack: ${prebuilds}/lib/full/cuda_plugin.so, ${prebuilds}/lib/full/cuda-poold not built; run: npm run build && npm run prebuilds`,
  );
  build(`${prebuilds}/lib/full/cuda_plugin.so`, `${prebuilds}/lib/full/cuda-poold`);
  const packed = await pack();
  expect(packed.exitCode, packed.stderr).toBe(0);
  expect(packed.stderr).toContain(`${prebuilds}/lib/full/cuda-poold`);
});
