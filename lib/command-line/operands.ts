// SPDX-License-Identifier: MIT
/**
 * Values that are given by position or by an option: `checkpoint 4711 dir` is `checkpoint --pid 4711 --images-dir dir`.
 * An action finds them among its options, however they were given.
 * @module
 */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command, type OptionValues } from 'commander';
import { UsageError } from '../errors.ts';
import { excessError, missingError } from './errors.ts';
import { attributeOf, commandSpec, type Operand, type Rest, type Value } from './spec.ts';

/** A number that only a pid can be. */
const PID = /^\d+$/;

/** The process that a command is about: `<pid>`, or `--pid`. */
export function pidOperand(
  parse: (text: string) => number,
  description = 'process ID of the root of the tree',
): Operand {
  return { name: 'pid', option: '--pid', kind: 'processes', description, parse, matches: PID };
}

function parsePath(text: string): string {
  if (text === '') throw new InvalidArgumentError('accepted: the path of a directory');
  return text;
}

/** The images directory that a command is about: `<dir>`, or `--images-dir`. */
export function imagesDirOperand(description = 'images directory'): Operand {
  return {
    name: 'dir',
    option: '--images-dir',
    kind: 'directories',
    description,
    parse: parsePath,
    same: isSamePath,
  };
}

const isSamePath = (one: Value, other: Value): boolean => resolve(String(one)) === resolve(String(other));

const shown = ({ name, isOptional }: Operand): string => (isOptional === true ? `[${name}]` : `<${name}>`);

/**
 * Adds arguments that may be options as well. An action reads both from its options; `rest`, what follows `--`, is the
 * option value of its name.
 */
export function addOperands(command: Command, operands: readonly Operand[], rest?: Rest): Command {
  const spec = commandSpec(command);
  spec.operands = operands;
  spec.rest = rest;
  for (const one of operands) {
    const { name, option, description } = one;
    // optional for commander, which knows nothing of the option; checked by settleWords
    command.argument(`[${name}]`, option === undefined ? description : `${description}, or ${option}`);
    if (option === undefined) continue;
    const twin = new Option(`${option} <${name}>`, `the same as ${shown(one)}`);
    command.addOption(one.parse === undefined ? twin : twin.argParser(one.parse));
  }
  if (rest) command.argument(`[${rest.name}...]`, `after --: ${rest.description}`);
  const words = operands.map(shown);
  return command.usage(['[options]', ...words, ...(rest ? [`[-- ${rest.name}...]`] : [])].join(' '));
}

/** What a command does with its options. */
export type RunWith<Flags> = (flags: Flags) => Promise<void>;

/** An action that takes its operands from its options. */
export function withOptions<Flags>(run: RunWith<Flags>) {
  return async function (this: Command): Promise<void> {
    await run(this.opts<Flags & OptionValues>());
  };
}

function parseWord(operand: Operand, word: string): Value {
  const { name, parse } = operand;
  try {
    return parse === undefined ? word : parse(word);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`<${name}> is "${word}"; ${error.message}`);
  }
}

/** How many operands after the first `from` have no value yet. */
const unnamed = (command: Command, operands: readonly Operand[], from: number): number =>
  operands.slice(from).filter((one) => command.getOptionValue(attributeOf(one)) === undefined).length;

/** Whether a word is for this operand, although its option has a value already. */
function isMeant(
  command: Command,
  operands: readonly Operand[],
  index: number,
  words: readonly string[],
): boolean {
  const [word = ''] = words;
  const pattern = operands[index]?.matches;
  return pattern === undefined ? words.length > unnamed(command, operands, index + 1) : pattern.test(word);
}

function takeWord(command: Command, operand: Operand, word: string): void {
  const { option = '', kind = 'values', same = Object.is } = operand;
  const attribute = attributeOf(operand);
  const value = parseWord(operand, word);
  const given = command.getOptionValue(attribute) as Value | undefined;
  if (given !== undefined && !same(given, value)) {
    throw new UsageError(`two ${kind} are named: ${word} and ${option} ${String(given)}`, 'name one of them');
  }
  command.setOptionValueWithSource(attribute, given ?? value, 'cli');
}

/** The words of a command, and those after `--` when it has a use for them. */
function splitWords(command: Command, argv: readonly string[]): { words: string[]; after: string[] } {
  const end = argv.indexOf('--');
  if (end === -1 || !commandSpec(command).rest) return { words: [...command.args], after: [] };
  const after = argv.slice(end + 1);
  return { words: command.args.slice(0, command.args.length - after.length), after };
}

/** Old names of options: their values become those of the new ones. */
function settleAliases(command: Command): void {
  for (const { old, option } of commandSpec(command).aliases) {
    const value = command.getOptionValue(old.attributeName()) as Value | undefined;
    if (value === undefined) continue;
    const name = option.attributeName();
    if (command.getOptionValueSource(name) === 'cli' && command.getOptionValue(name) !== value) {
      throw new UsageError(
        `${option.long ?? ''} and ${old.long ?? ''} are the same option, and have two values: ` +
          `${String(command.getOptionValue(name))} and ${String(value)}`,
      );
    }
    command.setOptionValueWithSource(name, value, 'cli');
  }
}

/**
 * Gives the words of a parsed command line to the options they stand for, before the action runs.
 * @param argv the whole command line, without the name of the program
 * @throws {@link UsageError} two different values, one word too many, or everything that is missing
 */
export function settleWords(command: Command, argv: readonly string[]): void {
  settleAliases(command);
  const { operands, rest } = commandSpec(command);
  const { words, after } = splitWords(command, argv);
  if (rest) command.setOptionValueWithSource(attributeOf(rest), after, 'cli');
  const left = operands.length === 0 && !rest ? [] : words;
  for (const [index, operand] of operands.entries()) {
    const [word] = left;
    if (word === undefined) break;
    const isNamed = command.getOptionValue(attributeOf(operand)) !== undefined;
    if (isNamed && !isMeant(command, operands, index, left)) continue;
    takeWord(command, operand, word);
    left.shift();
  }
  const [excess] = left;
  if (excess !== undefined) {
    throw excessError(command, excess);
  }
  const missing = missingError(command);
  if (missing) throw missing;
}
