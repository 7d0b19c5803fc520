// SPDX-License-Identifier: MIT
/** A program that needs no GPU and does nothing, to dump and restore with real CRIU. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killTree } from '../../lib/process/index.ts';
import { criuProgram } from './criu.ts';

export interface Sleeping {
  /** A directory for all that belongs to it, in which it runs. */
  dir: string;
  pid: number;
  /** For `checkpoint` and `restore`: the images directory does not exist yet. */
  options: { criu: string; imagesDir: string; env: Record<string, string> };
  /** Ends it, whether it was restored or not, and removes the directory. */
  remove(): Promise<void>;
}

export async function startSleeping(): Promise<Sleeping> {
  const dir = mkdtempSync(join(tmpdir(), 'ccr-sleeping-'));
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', cwd: dir });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  return {
    ...{ dir, pid },
    options: {
      criu: criuProgram(),
      imagesDir: join(dir, 'images'),
      env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
    },
    remove: async () => {
      await killTree(pid);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
