// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { EnvironmentError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { interceptorLibrary } from '../../paths.ts';
import { exitCodeOf } from '../../process/index.ts';
import { startProgram } from '../../run/index.ts';

interface RunFlags {
  intercept: boolean;
}

async function runProgram(io: Io, [command = '', ...args]: string[], flags: RunFlags): Promise<void> {
  const interceptor = interceptorLibrary();
  if (flags.intercept && !existsSync(interceptor))
    throw new EnvironmentError('the interceptor is not built', [
      {
        what: interceptor,
        remedy: 'criu-cuda build, or run with --no-intercept for variants stock and remap',
      },
    ]);
  const program = await startProgram({ command, args, ...(flags.intercept ? { interceptor } : {}) });
  io.onStop = program.send;
  try {
    io.exitCode = exitCodeOf(await program.ended);
  } finally {
    io.onStop = undefined;
  }
}

export function registerRun(program: Command, io: Io): void {
  program
    .command('run')
    .description('run a program that can be checkpointed; forward signals and exit with its status')
    .usage('-- <command> [arguments...]')
    .argument('<command...>')
    .option('--no-intercept', 'run without the interceptor; the driver moves all device memory')
    .action((words: string[], flags: RunFlags) => runProgram(io, words, flags));
}
