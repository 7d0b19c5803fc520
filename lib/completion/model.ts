// SPDX-License-Identifier: MIT
/**
 * What a shell needs to know to complete a command line, read from commander's definitions.
 * @module
 */
import type { Argument, Command, Option } from 'commander';
import { commandName, commandSpec } from '../command-line/index.ts';
import { pluginVariants } from '../variant.ts';

/** Where the words for a value come from: the machine, or a list. */
export type CompletionValue = 'pid' | 'container' | 'directory' | 'file' | 'nothing' | readonly string[];

export interface CompletionOption {
  /** `-h` and `--help`, or one of them. */
  names: string[];
  description: string;
  /** `undefined` for an option without a value. */
  value: CompletionValue | undefined;
}

export interface CompletionCommand {
  /** The words that name it: `pool start`; empty for the program. */
  path: string;
  /** Its last word, and other words for that. */
  names: string[];
  description: string;
  commands: CompletionCommand[];
  options: CompletionOption[];
  operands: CompletionValue[];
  /** Whether another program's command line follows `--`. */
  runsProgram: boolean;
}

const kinds: Readonly<Record<string, CompletionValue>> = {
  pid: 'pid',
  dir: 'directory',
  dirs: 'directory',
  file: 'file',
  'file.tar.xz': 'file',
  path: 'file',
  'plugin.so': 'file',
  program: 'file',
};

function optionValue(option: Option): CompletionValue | undefined {
  const [, name] = /<(.+?)(?:\.\.\.)?>$/.exec(option.flags) ?? [];
  if (name === undefined) return undefined;
  if (option.long === '--variant') return pluginVariants;
  return option.argChoices ?? kinds[name] ?? 'nothing';
}

function operandValue(command: Command, argument: Argument): CompletionValue {
  const [group] = commandName(command).split(' ');
  const name = argument.name();
  const operand = commandSpec(command).operands.find((one) => one.name === name);
  const isContainer = name === 'name' && (group === 'container' || group === 'golden');
  return operand?.words ?? argument.argChoices ?? (isContainer ? 'container' : (kinds[name] ?? 'nothing'));
}

/** Arguments that follow `--`: the command line of another program. */
const followsDashes = (argument: Argument): boolean =>
  argument.variadic && (argument.name() === 'command' || argument.description.startsWith('after --'));

function operandsOf(command: Command): CompletionValue[] {
  if (command.name() === 'help')
    return [command.parent?.commands.map((one) => one.name()).filter((name) => name !== 'help') ?? 'nothing'];
  return command.registeredArguments
    .filter((one) => !followsDashes(one))
    .map((one) => operandValue(command, one));
}

function optionsOf(command: Command): CompletionOption[] {
  const help = command.createHelp();
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].map((option) => ({
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description,
    value: optionValue(option),
  }));
}

/** Describes a command and everything below it; all of it has to be loaded. */
export function completionOf(command: Command): CompletionCommand {
  const { rest } = commandSpec(command);
  return {
    path: commandName(command),
    names: [command.name(), ...command.aliases()],
    description: command.description(),
    // commander's own help command has no place in the tree
    commands: command
      .createHelp()
      .visibleCommands(command)
      .filter((one) => one.parent !== null)
      .map(completionOf),
    options: optionsOf(command),
    operands: operandsOf(command),
    runsProgram:
      rest === undefined && command.name() !== 'help' && command.registeredArguments.some(followsDashes),
  };
}

/** A command and everything below it. */
export const withDescendants = (command: CompletionCommand): CompletionCommand[] => [
  command,
  ...command.commands.flatMap(withDescendants),
];
