// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isAlive, readStat } from '../../../lib/process/index.ts';
import { Program, Workload } from '../../../lib/workload/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-program-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** A process that is not a child of this one, like one that got a reused pid. */
async function foreign(): Promise<number> {
  const shell = spawn('sh', ['-c', 'setsid sleep 1000 >/dev/null 2>&1 & echo $!'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [chunk] = (await once(shell.stdout, 'data')) as [Buffer];
  if (shell.exitCode === null) await once(shell, 'exit');
  return Number(chunk.toString());
}

it('ends what it started, but not an unrelated process that has its pid by now', async () => {
  const program = await Program.run(['true']);
  await program.gone();
  const pid = await foreign();
  try {
    expect(readStat(pid)?.ppid).not.toBe(process.pid);
    Object.defineProperty(program, 'pid', { value: pid });
    await program.kill();
    expect(isAlive(pid)).toBe(true);
  } finally {
    process.kill(pid, 'SIGKILL');
  }

  const running = await Program.run(['sh', '-c', 'sleep 1000 & wait']);
  await running.kill();
  expect(isAlive(running.pid)).toBe(false);
});

it('leaves no workload behind that was interrupted while it started', async () => {
  const pidFile = join(dir, 'pid');
  const stop = new AbortController();
  const program = ['sh', '-c', `echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 1000`];
  const socketPath = join(dir, 'socket');
  const started = Workload.start({ program, args: [], socketPath, signal: stop.signal });
  const written = new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (!existsSync(pidFile)) return;
      clearInterval(look);
      resolve();
    }, 5);
  });
  await written;
  stop.abort();
  await expect(started).rejects.toThrow();
  expect(isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
});
