// SPDX-License-Identifier: MIT
/**
 * Errors about a command line. Each says where to read on: in the help of the command that was typed.
 * @module
 */
import { Option, type Command, type CommanderError } from 'commander';
import { UsageError } from '../errors.ts';
import { attributeOf, commandName, commandSpec } from './spec.ts';

const required = new WeakSet<Option>();

/**
 * An option that its command cannot run without. Commander's own would report only the first one that is missing, and
 * would not let an old name stand for it.
 */
export function requiredOption(flags: string, description: string): Option {
  const option = new Option(flags, description);
  required.add(option);
  return option;
}

/** Whether its command cannot run without this option. */
export const isRequired = (option: Option): boolean => option.mandatory || required.has(option);

/** Names everything that a command lacks, in the order of its usage. */
function missingOf(command: Command): string[] {
  const { operands } = commandSpec(command);
  const isAbsent = (attribute: string): boolean => command.getOptionValue(attribute) === undefined;
  return [
    ...operands
      .filter((one) => one.isOptional !== true && isAbsent(attributeOf(one)))
      .map(({ name }) => `<${name}>`),
    ...command.registeredArguments
      .filter((one, index) => one.required && command.args[index] === undefined)
      .map((one) => `<${one.name()}>`),
    ...command.options
      .filter((one) => isRequired(one) && isAbsent(one.attributeName()))
      .map(({ flags }) => flags),
  ];
}

function inWords(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`;
}

const helpHint = (command: Command): string => `see ${`criu-cuda ${commandName(command)}`.trim()} --help`;

/** The error that names everything a command lacks; `undefined` when it has all of it. */
export function missingError(command: Command): UsageError | undefined {
  const missing = missingOf(command);
  if (missing.length === 0) return undefined;
  const [example] = commandSpec(command).examples;
  return new UsageError(
    `${commandName(command)} needs ${inWords(missing)}`,
    [...(example === undefined ? [] : [`for example: ${example}`]), helpHint(command)].join('\n'),
  );
}

/** The error for one argument too many. */
export function excessError(command: Command, word: string): UsageError {
  const rest = commandSpec(command).rest?.hint;
  const hint = [...(rest === undefined ? [] : [rest]), helpHint(command)].join('\n');
  return new UsageError(`${commandName(command)}: unexpected argument "${word}"`, hint);
}

/** The command that a command line has reached, by the words that commander has parsed. */
function reachedCommand(program: Command): Command {
  const [word] = program.args;
  const next = program.commands.find((one) => one.name() === word || one.aliases().includes(word ?? ''));
  return next ? reachedCommand(next) : program;
}

/** What commander adds to a message: `(Did you mean --store?)`. */
const SUGGESTION = /\n\((Did you mean .*\?)\)$/;

/** Puts a value that commander refuses into the words of this program. */
function sayInvalid(message: string): string {
  return message
    .replace(/^option '(-[\w-]+).*?' argument '(.*)' is invalid\. /s, '$1 is "$2"; ')
    .replace(/^command-argument value '(.*)' is invalid for argument '(.*?)'\. /s, '<$2> is "$1"; ')
    .replace(/Allowed choices are (.*)\.$/, 'accepted: $1');
}

/** The commands of a group, for a command line that names none of them. */
function groupHint(command: Command): string[] {
  const names = command
    .createHelp()
    .visibleCommands(command)
    .map((one) => one.name());
  const isGroup = names.length > 0 && command.parent !== null;
  return isGroup ? [`${commandName(command)} needs a command: ${names.join(', ')}`] : [];
}

/**
 * The error for what commander refused.
 * @param program which has parsed the command line
 */
export function usageError(program: Command, error: CommanderError): UsageError {
  const command = reachedCommand(program);
  const { code } = error;
  if (code === 'commander.help') return new UsageError('a command is missing', helpHint(command));
  if (code === 'commander.missingArgument' || code === 'commander.missingMandatoryOptionValue') {
    const missing = missingError(command);
    if (missing) return missing;
  }
  if (code === 'commander.excessArguments')
    return excessError(command, command.args[command.registeredArguments.length] ?? '');
  const message = error.message.replace(/^error: /, '');
  const [, suggestion] = SUGGESTION.exec(message) ?? [];
  const isUnknownOption = code === 'commander.unknownOption';
  const runsProgram = command.registeredArguments.at(-1)?.description.startsWith('after --') === true;
  const ofProgram = runsProgram ? 'options of the program follow --' : undefined;
  const rest = commandSpec(command).rest?.hint ?? (suggestion === undefined ? ofProgram : undefined);
  const hint = [
    ...(suggestion === undefined ? [] : [suggestion.replace('Did', 'did')]),
    ...(rest === undefined || !isUnknownOption ? [] : [rest]),
    ...(isUnknownOption ? groupHint(command) : []),
    helpHint(command),
  ];
  return new UsageError(sayInvalid(message.replace(SUGGESTION, '')), hint.join('\n'));
}

/** The help of the group that was named without one of its commands, or of the program. */
export const helpOfReached = (program: Command): string => reachedCommand(program).helpInformation();
