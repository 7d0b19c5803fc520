// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import type { Io } from '../output.ts';
import { exitCodeOf } from '../process/index.ts';
import { run } from '../run/index.ts';

async function runProgram(io: Io, [command = '', ...args]: string[]): Promise<void> {
  const program = await run({ command, args });
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
    .description('run a program so that it can be checkpointed; signals and exit status pass through')
    .usage('-- <command> [arguments...]')
    .argument('<command...>')
    .action((words: string[]) => runProgram(io, words));
}
