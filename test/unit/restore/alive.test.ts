// SPDX-License-Identifier: MIT
/** CRIU exits with 0 also when a signal has ended it and what it had restored. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { restore, type RestoredProcess } from '../../../lib/restore/index.ts';
import { writeCriu, writeImages } from '../../helpers/scripted-criu.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-alive-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** @param script starts the restored task as `$!` */
function restoreWith(script: string): Promise<RestoredProcess> {
  const imagesDir = join(dir, 'images');
  writeImages(imagesDir);
  const program = writeCriu(dir, `${script}\nexit 0`);
  return restore({ imagesDir, ...program, env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') } });
}

it('fails when the restored process was killed', async () => {
  const script = 'sleep 100 & echo $! > "$pidfile"; kill -9 $!';
  await expect(restoreWith(script)).rejects.toMatchObject({
    code: 'ERR_RESTORE_FAILED',
    message: expect.stringMatching(/criu exited with 0, but \d+ was killed by SIGKILL/) as string,
  });
});

it('fails when there is no restored process', async () => {
  // collected by its parent
  await expect(restoreWith('true & echo $! > "$pidfile"; wait')).rejects.toMatchObject({
    code: 'ERR_RESTORE_FAILED',
    message: expect.stringMatching(/there is no process \d+/) as string,
  });
});

it('reports how a program ended that ends at once', async () => {
  // when criu has: a shell may collect a child of its own that ends earlier
  const gate = 'mkfifo "$0.gate"; exec 9<>"$0.gate"';
  const process = await restoreWith(
    `${gate}; sh -c 'read -r _; exit 3' <"$0.gate" 9>&- & echo $! > "$pidfile"`,
  );
  expect(await process.wait()).toEqual({ kind: 'exited', code: 3 });
});
