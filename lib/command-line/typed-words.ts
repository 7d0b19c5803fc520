// SPDX-License-Identifier: MIT
import type { Command } from 'commander';

/** What was typed, with the name of the program: `['criu-cuda', 'bench', 'run', …]`. */
export function typedWords(command: Command): string[] {
  let root: Command & { rawArgs?: string[] } = command;
  while (root.parent) root = root.parent;
  return ['criu-cuda', ...(root.rawArgs ?? [])];
}
