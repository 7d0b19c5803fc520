// SPDX-License-Identifier: MIT
/**
 * Man pages, with macros of man(7), from the definitions of the commands.
 * @module
 */
import type { Command } from 'commander';
import { commandName, commandSpec } from '../command-line/index.ts';

const PROGRAM = 'criu-cuda';

/** Text for roff: hyphens that are typed, and no line that begins with a macro. */
const text = (words: string): string =>
  words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(['.])/gm, '\\&$1');

const macro = (name: string, ...words: string[]): string =>
  [`.${name}`, ...words.map((word) => `"${text(word).replaceAll('"', '\\(dq')}"`)].join(' ');
const sentence = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

const nameOf = (command: Command): string => `${PROGRAM} ${commandName(command)}`.trim();

/** The name of the page: `criu-cuda-pool`. */
export const pageName = (command: Command): string => nameOf(command).replaceAll(' ', '-');

interface Entry {
  term: string;
  description: string;
}

const list = (entries: readonly Entry[]): string[] =>
  entries.flatMap(({ term, description }) => ['.TP', macro('B', term), text(description)]);

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [macro('SH', title), ...lines];

function entriesOf(command: Command): { operands: Entry[]; options: Entry[]; commands: Command[] } {
  const help = command.createHelp();
  return {
    operands: help
      .visibleArguments(command)
      .map((one) => ({ term: one.name(), description: sentence(help.argumentDescription(one)) })),
    options: [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
      .filter((one) => one.long !== '--version' || command.parent === null)
      .map((one) => ({ term: one.flags, description: sentence(help.optionDescription(one)) })),
    commands: help.visibleCommands(command).filter((one) => one.parent !== null && one.name() !== 'help'),
  };
}

const synopsis = (command: Command): string[] => [macro('B', nameOf(command)), text(command.usage())];

function exampleLines(command: Command): string[] {
  const { examples } = commandSpec(command);
  return examples.length === 0 ? [] : ['.nf', ...examples.map((line) => text(line)), '.fi'];
}

/** A command of a group, as part of the group's page. */
function subsection(command: Command): string[] {
  const { operands, options } = entriesOf(command);
  const examples = exampleLines(command);
  return [
    macro('SS', `${nameOf(command)} ${command.usage()}`),
    text(sentence(command.description())),
    ...list([...operands, ...options]),
    ...(examples.length === 0 ? [] : ['.PP', 'Examples:', '.PP', ...examples]),
  ];
}

const exitStatus = list([
  { term: '0', description: 'Success.' },
  { term: '1', description: 'The operation failed.' },
  { term: '2', description: 'Wrong use, or something is missing on this machine: nothing was started.' },
  { term: '130, 143, 129, 131', description: 'SIGINT, SIGTERM, SIGHUP or SIGQUIT stopped it.' },
]);

/** Other pages: that of the program, or those of all its commands. */
function seeAlso(command: Command): string[] {
  const others = command.parent === null ? entriesOf(command).commands : [command.parent];
  const pages = others.map((one) => `.BR ${text(pageName(one))} (1)`);
  return [...pages.map((page) => `${page},`), '.BR criu (8)'].map((line) =>
    line.replace(/ \((\d)\),$/, ' ($1),'),
  );
}

/** What all pages say about themselves. */
export interface PageOptions {
  /** Of the program. */
  version: string;
  /** Of that version, as in 2026-01-31. */
  date: string;
}

/** The source of the page of the program or of one of its commands, loaded with all below it. */
export function manPage(command: Command, { version, date }: PageOptions): string {
  const { operands, options, commands } = entriesOf(command);
  const isProgram = command.parent === null;
  const below = isProgram
    ? list(commands.map((one) => ({ term: one.name(), description: sentence(one.description()) })))
    : commands.flatMap((one) => subsection(one));
  return [
    '.\\" Generated from the definition of the command by scripts/man.mjs.',
    `.TH "${text(pageName(command).toUpperCase())}" 1 "${date}" "${text(`${PROGRAM} ${version}`)}" "User Commands"`,
    macro('SH', 'NAME'),
    `${text(pageName(command))} \\- ${text(command.description())}`,
    ...section('SYNOPSIS', synopsis(command)),
    ...section('ARGUMENTS', list(operands)),
    ...section('OPTIONS', list(options)),
    ...section('COMMANDS', below),
    ...section('EXAMPLES', exampleLines(command)),
    ...section('EXIT STATUS', exitStatus),
    ...section('SEE ALSO', seeAlso(command)),
    '',
  ].join('\n');
}
