// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findTarget } from '../../../lib/checkpoint/target.ts';

it.each([
  ['run', 'started'],
  ['restore', 'restored'],
])('does not take criu-cuda %s for the program that it has yet to have', async (name, done) => {
  const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-target-'));
  const program = join(dir, 'criu-cuda');
  writeFileSync(program, 'console.log("ready"); setInterval(() => undefined, 1000);\n');
  const run = spawn(process.execPath, [program, name, '--', 'server'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(run.stdout, 'data');
    expect(() => findTarget(run.pid ?? 0)).toThrow(
      `criu-cuda ${name}, which has not ${done} its program yet`,
    );
  } finally {
    run.kill('SIGKILL');
    await once(run, 'exit');
    rmSync(dir, { recursive: true });
  }
});
