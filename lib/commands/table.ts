// SPDX-License-Identifier: MIT
/**
 * Tables of commands. `--help` shows the entries of a table without loading a command; a command's own module is loaded
 * when it is used.
 * @module
 */
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import type { Io } from '../output.ts';

/** Gives a command its options, arguments, and action or subcommands. */
export type Define = (command: Command, io: Io) => void;

/** One command in a table. */
export interface CommandEntry {
  /** The word that is typed. */
  readonly name: string;
  /** One line for `--help`. */
  readonly description: string;
  /** Heading in `--help` under which it is listed. @default that of all commands */
  readonly group?: string;
  /** Whether it is used when no command of its table is named. @default false */
  readonly isDefault?: boolean;
  /** Whether it looks at the other commands of its table. @default false */
  readonly seesOthers?: boolean;
  /** Loads what {@link Define | defines} it. */
  readonly load: () => Promise<Define>;
}

/** How the commands that are not loaded yet are loaded. */
const pending = new WeakMap<Command, () => Promise<void>>();

/** Loads one command's module; does nothing if that is done. */
async function loadCommand(command: Command): Promise<void> {
  const load = pending.get(command);
  pending.delete(command);
  await load?.();
}

/** Loads a command and everything below it: for what looks at all options, such as completion. */
export async function loadAllCommands(command: Command): Promise<void> {
  await loadCommand(command);
  for (const one of command.commands) await loadAllCommands(one);
}

/** Commander's own `help` would show a command that is not loaded. */
function addHelp(parent: Command, group = 'Commands:'): void {
  parent
    .helpCommand(false)
    .command('help')
    .helpGroup(group)
    .description('show the help of a command')
    .argument('[command...]', 'the command, such as pool prefetch')
    .action(async (words: string[]) => {
      let command = parent;
      for (const word of words) {
        const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
        if (!next) throw new UsageError(`unknown command '${word}'`, 'see criu-cuda --help');
        await loadCommand(next);
        command = next;
      }
      command.help();
    });
}

/** Adds a table of commands to the program or to a command, and `help`. */
export function addCommands(parent: Command, entries: readonly CommandEntry[], io: Io): void {
  for (const { name, description, group, isDefault = false, load } of entries) {
    const command = parent.command(name, { isDefault }).description(description);
    if (group !== undefined) command.helpGroup(group);
    pending.set(command, async () => {
      (await load())(command, io);
    });
  }
  parent.hook('preSubcommand', (_parent, command) => loadCommand(command));
  addHelp(parent, entries.at(-1)?.group);
}
