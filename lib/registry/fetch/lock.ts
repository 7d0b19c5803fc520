// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { CommandError } from '../../errors.ts';

/** Says that it has the lock, and ends with its standard input: also when the process that started it is killed. */
const HOLDER = 'echo locked && exec cat >/dev/null';

/**
 * Does something while this process has a lock on a file (flock(2)), which one process at a time has.
 * @param signal stops waiting for it
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const holder = spawn('flock', ['--no-fork', path, 'sh', '-c', HOLDER], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true, // Ctrl-C is for us
  });
  const failed = new Promise<never>((_, reject) => {
    const fail = (error?: Error): void => {
      const facts = { command: 'flock', exitCode: holder.exitCode ?? undefined, signal: undefined };
      const message = `cannot lock ${path}: ${error?.message ?? 'flock has ended'}`;
      reject(
        new CommandError('ERR_COMMAND_RUN', message, { ...facts, timedOut: false, durationMs: 0, tail: '' }),
      );
    };
    holder.once('error', fail).once('exit', () => {
      fail();
    });
    signal?.addEventListener(
      'abort',
      () => {
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
  failed.catch(() => undefined);
  holder.stdin.on('error', () => undefined);
  try {
    await Promise.race([once(holder.stdout, 'data'), failed]);
    return await work();
  } finally {
    holder.stdin.end();
    if (holder.pid !== undefined && holder.exitCode === null && holder.signalCode === null) {
      const ended = once(holder, 'exit');
      holder.kill();
      await ended; // it has a file of the cache open
    }
  }
}
