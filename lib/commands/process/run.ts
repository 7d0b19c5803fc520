// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { EnvironmentError } from '../../errors.ts';
import { programInterceptor } from '../../install/index.ts';
import { preloadable, type Preloadable } from '../../inspect/index.ts';
import { findOnPath } from '../../machine/index.ts';
import type { Io } from '../../output.ts';
import { exitCodeOf } from '../../process/index.ts';
import { startProgram } from '../../run/index.ts';

interface RunFlags {
  intercept: boolean;
}

/** The file that will be run; a name that is not found is left to the error of running it. */
function pathOf(command: string): string {
  return resolve(command.includes('/') ? command : (findOnPath(command, process.env.PATH) ?? command));
}

async function runProgram(io: Io, [command = '', ...args]: string[], flags: RunFlags): Promise<void> {
  const interceptor = programInterceptor();
  if (flags.intercept && !existsSync(interceptor))
    throw new EnvironmentError('the interceptor is not built', [
      {
        what: interceptor,
        remedy: 'criu-cuda build, or run with --no-intercept for variants stock and remap',
      },
    ]);
  const found: Preloadable = flags.intercept ? preloadable('/', pathOf(command)) : { ok: false };
  if (found.reason !== undefined) {
    io.err(`${command} runs without the interceptor: ${found.reason}; the driver moves all device memory`);
  }
  const program = await startProgram({ command, args, ...(found.ok ? { interceptor } : {}) });
  io.onStop = program.send;
  try {
    io.exitCode = exitCodeOf(await program.ended);
  } finally {
    io.onStop = undefined;
  }
}

export function defineRun(command: Command, io: Io): void {
  command
    .usage('-- <command> [arguments...]')
    .argument('<command...>')
    .option('--no-intercept', 'run without the interceptor; the driver moves all device memory')
    .action((words: string[], flags: RunFlags) => runProgram(io, words, flags));
  addExamples(command, 'criu-cuda run -- python3 server.py');
}
