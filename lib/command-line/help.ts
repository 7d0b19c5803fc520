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

/** Configures the program before its commands are added: they inherit it. */
export function configureHelp(program: Command): Command {
  return program.configureHelp({ optionDescription, showGlobalOptions: true });
}

/** Adds command lines to the help of a command. Each is complete and works when its names exist. */
export function addExamples(command: Command, ...lines: readonly [string, ...string[]]): Command {
  commandSpec(command).examples = lines;
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
