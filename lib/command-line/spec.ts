// SPDX-License-Identifier: MIT
/**
 * What is known about a command besides commander's own definition.
 * @module
 */
import type { Command, Option } from 'commander';

/** What the options here have. */
export type Value = string | number;

/** A value that has a position, and usually an option. */
export interface Operand {
  /** Its name in the usage. */
  name: string;
  /** The option that means the same. */
  option?: string | undefined;
  /** What two of it are called in an error. */
  kind?: string | undefined;
  description: string;
  /** @default false */
  isOptional?: boolean | undefined;
  /** @throws `InvalidArgumentError` what is accepted */
  parse?: ((text: string) => Value) | undefined;
  /** Words that cannot be anything else. */
  matches?: RegExp | undefined;
  /** All accepted words, for completion. */
  words?: readonly string[] | undefined;
  /** Whether two values mean the same. @default Object.is */
  same?: ((one: Value, other: Value) => boolean) | undefined;
}

/** What follows `--`. */
export interface Rest {
  name: string;
  description: string;
  /** For a word or an option that should have followed `--`. */
  hint: string;
}

/** An option that was renamed. */
export interface Alias {
  old: Option;
  option: Option;
}

export interface CommandSpec {
  operands: readonly Operand[];
  rest: Rest | undefined;
  aliases: Alias[];
  /** Command lines for the help, each complete. */
  examples: readonly string[];
}

const specs = new WeakMap<Command, CommandSpec>();

/** What is known about a command; an empty one to fill in when nothing is. */
export function commandSpec(command: Command): CommandSpec {
  const known = specs.get(command);
  if (known) return known;
  const spec: CommandSpec = { operands: [], rest: undefined, aliases: [], examples: [] };
  specs.set(command, spec);
  return spec;
}

/** The key of its value among the options of its command. */
export function attributeOf({ name, option }: { name: string; option?: string | undefined }): string {
  return (option ?? name).replace(/^--/, '').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** The words that name a command, without those of the program: `golden create`. */
export function commandName(command: Command): string {
  const { parent } = command;
  if (!parent) return '';
  return `${commandName(parent)} ${command.name()}`.trim();
}
