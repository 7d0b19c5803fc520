// SPDX-License-Identifier: MIT
/**
 * CRIU exits with 0 even if a device restore failed; only the plugin's status file says so. What is reported without
 * one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { opStatusPath } from '../../../lib/criu/index.ts';
import { restore, type RestoredProcess } from '../../../lib/restore/index.ts';
import { writeCriu, writeImages } from '../../helpers/scripted-criu.ts';

let dir: string;
let restored: RestoredProcess | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-warnings-'));
});
afterEach(async () => {
  await restored?.kill(0);
  restored = undefined;
  rmSync(dir, { recursive: true, force: true });
});

const start = 'sleep 1000 >/dev/null 2>&1 & echo $! > "$pidfile"';

/** Restores with a criu that starts a task and reports success. */
async function warningsOf(plugins: readonly string[], script = start): Promise<string[]> {
  const imagesDir = join(dir, 'images');
  writeImages(imagesDir, { plugins });
  const env = { CRIU_CUDA_RUN_DIR: dir };
  restored = await restore({ imagesDir, ...writeCriu(dir, script), env });
  return restored.result.warnings;
}

it('warns when the images need the plugin and it wrote no status file', async () => {
  const warnings = await warningsOf(['cuda_plugin']);
  expect(warnings).toEqual([expect.stringMatching(/plugin wrote no status file.*run directory/)]);
});

it('does not warn when the images do not need the CUDA plugin', async () => {
  expect(await warningsOf([])).toEqual([]);
  await restored?.kill(0);
  expect(await warningsOf(['amdgpu_plugin'])).toEqual([]);
});

it('does not warn when there is a status file', async () => {
  const lines = [
    '{"event":"begin","stage":"restore","criu":PID,"version":"1","variant":"stock"}',
    '{"event":"end","stage":"restore","ret":0,"driver_ms":1,"hook_ms":2}',
  ];
  const path = opStatusPath(dir, 4242).replace('4242', () => '$$');
  const write = lines.map((line) => `echo '${line.replace('PID', '1')}' >> ${path}`).join('\n');
  expect(await warningsOf(['cuda_plugin'], `${write}\n${start}`)).toEqual([]);
});
