// SPDX-License-Identifier: MIT
import { Argument, type Command } from 'commander';
import { completionOf, completionScript, shells, type Shell } from '../completion/index.ts';
import type { Io } from '../output.ts';
import { addExamples } from '../command-line/index.ts';
import { loadAllCommands } from './table.ts';

async function completion(io: Io, command: Command, shell: Shell): Promise<void> {
  const program = command.parent ?? command;
  await loadAllCommands(program);
  const script = completionScript(shell, completionOf(program));
  io.result({ shell, script }, () => script);
}

export function defineCompletion(command: Command, io: Io): void {
  command
    .addArgument(new Argument('<shell>', 'the shell that is to complete command lines').choices(shells))
    .action((shell: Shell) => completion(io, command, shell));
  addExamples(
    command,
    'criu-cuda completion bash > /etc/bash_completion.d/criu-cuda',
    'criu-cuda completion zsh > /usr/local/share/zsh/site-functions/_criu-cuda',
    'criu-cuda completion fish > /etc/fish/completions/criu-cuda.fish',
  );
}
