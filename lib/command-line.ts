// SPDX-License-Identifier: MIT
/**
 * Runs the command line of this process. Only this file calls process.exit and listens for signals. The first signal
 * aborts the command, which then cleans up; the second ends the program at once, unless another one would lose something
 * by that. The exit code after a signal is 128
 * plus its number, unless the operation was complete anyway.
 * @module
 */
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { isErrno, reasonOf } from './errno.ts';
import { InterruptedError } from './errors.ts';
import { createIo } from './output.ts';
import { main, wantsJson } from './program.ts';
import { readLaunched } from './start/launched.ts';
import { unfinished } from './unfinished.ts';

const signalExitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGQUIT: 131 } as const;
type StopSignal = keyof typeof signalExitCodes;

/** Why text did not reach the file that is stdout; the stream of Node knows it for what it writes. */
let appendError: unknown;

/** Writes at the end of the file that is stdout, if it is a file. */
function append(text: string): void {
  if (!fstatSync(1).isFile()) {
    process.stdout.write(text);
    return;
  }
  try {
    const file = openSync('/proc/self/fd/1', 'a');
    writeSync(file, text);
    closeSync(file);
  } catch (error) {
    appendError ??= error;
  }
}

/**
 * Says so when output is lost, as on a full disk.
 * @param exitCode of the command. @returns the one that counts
 */
function checkWritten(exitCode: number): number {
  // it is set at once, before the stream says so
  const lost = appendError ?? process.stdout.errored ?? undefined;
  if (lost === undefined || isErrno(lost, 'EPIPE')) return exitCode;
  const rest = exitCode === 0 ? '; everything else was done' : '';
  process.stderr.write(`criu-cuda: cannot write the output: ${reasonOf(lost)}${rest}\n`);
  return exitCode === 0 ? 1 : exitCode;
}

/** Ends the process with the exit code of the command. */
export async function runCommandLine(): Promise<never> {
  readLaunched();
  const argv = process.argv.slice(2);
  const stop = new AbortController();
  let stoppedBy: StopSignal | undefined;
  const io = createIo({
    stdout: { isTTY: process.stdout.isTTY, write: (text) => process.stdout.write(text), append },
    stderr: process.stderr,
    json: wantsJson(argv),
    signal: stop.signal,
    become: async (path, args) => {
      const { execv } = await import('./native/index.ts');
      try {
        execv(path, args);
      } catch {
        // neither addon nor koffi: the command does without
      }
    },
  });
  // the reader has gone: `| head`; other errors are said at the end
  process.stdout.on('error', (error) => {
    if (isErrno(error, 'EPIPE'))
      stop.abort(new InterruptedError('ERR_INTERRUPTED', 'nobody reads the output any more'));
  });
  process.stderr.on('error', () => undefined);
  for (const name of Object.keys(signalExitCodes) as StopSignal[]) {
    process.on(name, () => {
      if (io.onStop) {
        io.onStop(name);
        return;
      }
      if (stoppedBy) {
        const why = unfinished();
        if (why === undefined) process.exit(signalExitCodes[name]);
        process.stderr.write(`criu-cuda: ${why}\n`);
        return;
      }
      stoppedBy = name;
      stop.abort(new InterruptedError('ERR_INTERRUPTED', `interrupted by ${name}`));
    });
  }
  const exitCode = await main(argv, io);
  process.exit(checkWritten(stoppedBy && !io.isComplete ? signalExitCodes[stoppedBy] : exitCode));
}
