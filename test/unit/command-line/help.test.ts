// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
import { commandName, commandSpec, isRequired, settleWords } from '../../../lib/command-line/index.ts';
import { loadAllCommands } from '../../../lib/commands/index.ts';
import { createProgram, main } from '../../../lib/program.ts';
import { pages, shellBlocks } from '../../helpers/shell-blocks.ts';
import { captureIo } from '../cli/capture.ts';

async function loaded(): Promise<Command> {
  const program = createProgram(captureIo().io);
  await loadAllCommands(program);
  return program;
}

/** The commands that do something: not groups, not `help`. */
const leaves = (command: Command): Command[] =>
  command.commands.length === 0
    ? command.name() === 'help'
      ? []
      : [command]
    : command.commands.flatMap(leaves);

let program: Command;
let commands: Command[];
beforeAll(async () => {
  program = await loaded();
  commands = leaves(program);
});

const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];

/** Splits an example as a shell would, where no word has quotes or spaces; its output may go to a file. */
const wordsOf = (example: string): string[] => example.replace(/ > \S+$/, '').split(' ');

/** The command lines of `criu-cuda` in a command of a page. */
const toolkitCommands = (command: string): string[] =>
  command.replaceAll('\\\n', ' ').match(/\bcriu-cuda [a-z](?:(?!\s+[#&|;>]).)*/g) ?? [];

/** Parses a command line up to the action, which only remembers that it was reached. */
async function reached(argv: readonly string[]): Promise<string | undefined> {
  let name: string | undefined;
  const parsed = await loaded();
  for (const command of leaves(parsed)) {
    command.action(() => {
      name = commandName(command);
    });
  }
  parsed.hook('preAction', (_program, command) => {
    settleWords(command, argv);
  });
  await parsed.parseAsync([...argv], { from: 'user' });
  return name;
}

describe('examples', () => {
  it('are in the help of every command', async () => {
    expect(commands.length).toBeGreaterThan(45);
    const without = commands.filter((one) => commandSpec(one).examples.length === 0).map(commandName);
    expect(without).toEqual([]);
    const { io, stdout } = captureIo();
    expect(await main(['checkpoint', '--help'], io)).toBe(0);
    expect(stdout()).toMatch(/\nExamples:\n {2}criu-cuda checkpoint 4711 /);
  });

  it('are command lines of their command', async () => {
    for (const command of commands) {
      for (const example of commandSpec(command).examples) {
        const [program, ...argv] = wordsOf(example);
        expect([program, example, await reached(argv)]).toEqual(['criu-cuda', example, commandName(command)]);
      }
    }
  });
});

describe('the commands of the documentation that need a GPU', () => {
  // all others are typed by a test
  const typed = pages
    .flatMap(shellBlocks)
    .filter(({ mark }) => mark === 'gpu')
    .flatMap(({ page, line, commands: typedThere }) =>
      typedThere.flatMap(toolkitCommands).map((command) => ({ at: `${page}:${line}`, command })),
    );

  it('are some', () => {
    expect(typed.length).toBeGreaterThan(2);
  });

  it.each(typed)('$at: $command', async ({ command }) => {
    const words = command.replace('$!', '4711').split(/\s+/); // the pid of the last program
    expect(await reached(words.slice(1))).toBeDefined();
  });
});

describe('help', () => {
  it('begins with the commands that are typed first, in groups, and ends with the first command lines', async () => {
    const { io, stdout } = captureIo();
    expect(await main(['--help'], io)).toBe(0);
    const headings = [...stdout().matchAll(/^([A-Z].*):$/gm)].map(([, heading]) => heading);
    expect(headings.slice(0, 2)).toEqual(['Options', 'Dump and restore']);
    expect(headings).not.toContain('Commands');
    expect(headings.at(-1)).toBe('Examples');
    expect(stdout()).toMatch(/\n {2}criu-cuda restore \S+\n$/);
  });

  it('fits a terminal of 80 columns, and says what every argument is', () => {
    for (const command of all(program)) {
      const lines = command.helpInformation().split('\n').slice(1); // without the usage
      expect([commandName(command), lines.filter((line) => line.length > 80)]).toEqual([
        commandName(command),
        [],
      ]);
      const unsaid = command.registeredArguments.filter(({ description }) => description === '');
      expect([commandName(command), unsaid.map((one) => one.name())]).toEqual([commandName(command), []]);
    }
  });

  it('marks what is required', () => {
    for (const command of commands) {
      const help = command.helpInformation().replaceAll(/\s+/g, ' ');
      for (const option of command.options.filter(isRequired)) {
        const description = `${option.description} (required)`.replaceAll(/\s+/g, ' ');
        expect([commandName(command), help.includes(description)]).toEqual([commandName(command), true]);
      }
    }
    expect(commands.flatMap((one) => one.options.filter(isRequired)).length).toBeGreaterThan(6);
  });

  it('has one name for a file that is written, and one meaning of --warmup', () => {
    const shown = (long: string): Set<string> =>
      new Set(
        commands.flatMap((one) =>
          one.options.filter((option) => option.long === long && !option.hidden).map((o) => o.description),
        ),
      );
    expect([...shown('--out'), ...shown('--file')]).toEqual([]);
    expect([...shown('--warmup')]).toEqual(['rounds before the measured ones']);
    expect(shown('--output').size).toBeGreaterThan(4);
  });
});
