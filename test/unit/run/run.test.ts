// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, readFileSync, rmSync, watch } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UsageError } from '../../../lib/errors.ts';
import { readStat, sendSignal } from '../../../lib/process/index.ts';
import { startProgram } from '../../../lib/run/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-run-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const shell = (script: string) => startProgram({ command: 'sh', args: ['-c', script], env: { DIR: dir } });

async function fileAppears(name: string): Promise<string> {
  const path = join(dir, name);
  const watcher = watch(dir);
  try {
    while (!existsSync(path)) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
  return readFileSync(path, 'utf8');
}

describe('run', () => {
  it('passes the exit code on', async () => {
    const program = await shell('exit 42');
    expect(await program.ended).toEqual({ kind: 'exited', code: 42 });
  });

  it('makes the program the leader of its own session', async () => {
    const program = await shell(': > $DIR/ready; sleep 60');
    await fileAppears('ready');
    expect(readStat(program.pid)).toMatchObject({ session: program.pid, processGroup: program.pid });
    process.kill(-program.pid, 'SIGKILL');
    expect(await program.ended).toMatchObject({ kind: 'signaled', signal: 9 });
  });

  it('passes signals on, to this process and by hand', async () => {
    const program = await shell(
      'trap "echo usr1 > $DIR/usr1" USR1; trap "exit 3" TERM; : > $DIR/ready; while :; do sleep 60 & wait $!; kill $!; done',
    );
    await fileAppears('ready');
    process.kill(process.pid, 'SIGUSR1');
    await fileAppears('usr1');
    program.send('SIGTERM');
    expect(await program.ended).toEqual({ kind: 'exited', code: 3 });
    sendSignal(-program.pid, 'SIGKILL'); // its last sleep, if it has been started
    expect(process.listenerCount('SIGUSR1')).toBe(0);
  });

  it('refuses a command that does not exist', async () => {
    await expect(startProgram({ command: join(dir, 'missing') })).rejects.toThrow(UsageError);
    await expect(startProgram({ command: join(dir, 'missing') })).rejects.toThrow(
      `cannot run ${join(dir, 'missing')}`,
    );
  });

  it('sets LD_PRELOAD only for an interceptor', async () => {
    const plain = await shell('echo "${LD_PRELOAD-unset}" > $DIR/plain');
    await plain.ended;
    expect(await fileAppears('plain')).toBe(`${process.env.LD_PRELOAD ?? 'unset'}\n`);
    const library = 'libm.so.6';
    const loaded = await startProgram({
      command: 'sh',
      args: ['-c', 'echo "$LD_PRELOAD" > $DIR/loaded'],
      env: { DIR: dir },
      interceptor: library,
    });
    expect(await loaded.ended).toEqual({ kind: 'exited', code: 0 });
    expect((await fileAppears('loaded')).startsWith(library)).toBe(true);
  });
});

describe('a program that was started', () => {
  const status = async (allowIoUring: boolean): Promise<string> => {
    const name = `status-${allowIoUring}`;
    const program = await startProgram({
      ...{ command: 'cat', args: ['/proc/self/status'], log: join(dir, name), allowIoUring },
    });
    expect(await program.ended).toEqual({ kind: 'exited', code: 0 });
    return readFileSync(join(dir, name), 'utf8');
  };

  it('is under a filter, unless it may use io_uring', async () => {
    const own = /^Seccomp_filters:\s*(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    expect(await status(false)).toMatch(new RegExp(`^Seccomp_filters:\\s*${Number(own) + 1}$`, 'm'));
    expect(await status(true)).toMatch(new RegExp(`^Seccomp_filters:\\s*${own}$`, 'm'));
  });
});
