// SPDX-License-Identifier: MIT
/**
 * What help shows besides commander's own: required options are marked, and examples follow.
 * @module
 */
import { Help, Option, type Command } from 'commander';
import { isRequired } from './errors.ts';
import { commandSpec } from './spec.ts';

const plain = new Help();

function optionDescription(option: Option): string {
  const text = plain.optionDescription(option);
  return isRequired(option) ? `${text} (required)` : text;
}

/** Its words alone, so that there is room for what it does: its own help has the rest. */
const subcommandTerm = (command: Command): string => [command.name(), ...command.aliases()].join('|');

/** Configures the program before its commands are added: they inherit it. */
export function configureHelp(program: Command): Command {
  return program.configureHelp({ optionDescription, subcommandTerm, showGlobalOptions: true });
}

/** Adds command lines to the help of a command. Each is complete and works when its names exist. */
export function addExamples(command: Command, ...lines: readonly [string, ...string[]]): Command {
  commandSpec(command).examples = lines;
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
