// SPDX-License-Identifier: MIT
/**
 * Shell completion, generated from the definitions of the commands.
 * @module
 */
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import type { CompletionCommand } from './model.ts';
import { zshCompletion } from './zsh.ts';

export { completionOf, type CompletionCommand } from './model.ts';

/** Shells with a generator. */
export const shells = ['bash', 'zsh', 'fish'] as const;
/** The name of a shell. */
export type Shell = (typeof shells)[number];

const generators: Readonly<Record<Shell, (program: CompletionCommand) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** The script that makes a shell complete the program's command lines. */
export const completionScript = (shell: Shell, program: CompletionCommand): string =>
  generators[shell](program);
