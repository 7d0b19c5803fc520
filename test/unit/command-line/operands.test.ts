// SPDX-License-Identifier: MIT
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  addOldName,
  addOperands,
  addOutput,
  imagesDirOperand,
  pidOperand,
  settleWords,
  withOptions,
  type Operand,
} from '../../../lib/command-line/index.ts';

const onOrOff: Operand = {
  name: 'state',
  description: 'on or off',
  parse: (word) => {
    if (word === 'on' || word === 'off') return word;
    throw new InvalidArgumentError('accepted: on, off');
  },
};

/** What the action of a command with these words gets. */
async function flagsOf(define: (command: Command) => unknown, ...argv: string[]): Promise<unknown> {
  let got: unknown;
  const program = new Command('criu-cuda').exitOverride().configureOutput({ writeErr: () => undefined });
  const command = program.command('it');
  define(command);
  command.action(
    withOptions((flags: object) => {
      got = { ...flags };
      return Promise.resolve();
    }),
  );
  program.hook('preAction', (_program, one) => {
    settleWords(one, ['it', ...argv]);
  });
  await program.parseAsync(['it', ...argv], { from: 'user' });
  return got;
}

const dump = (command: Command): Command =>
  addOperands(command, [pidOperand(Number), imagesDirOperand()], {
    name: 'criu-options',
    description: 'options passed to criu unchanged',
    hint: 'options of criu follow --',
  }).option('--force');
const golden = (command: Command): Command => addOperands(command, [imagesDirOperand(), onOrOff]);

describe('words and options', () => {
  const all = { pid: 4711, imagesDir: 'd', criuOptions: [] };

  it.each([
    [['4711', 'd']],
    [['--pid', '4711', '--images-dir', 'd']],
    [['--pid', '4711', 'd']],
    [['4711', '--images-dir', 'd']],
    [['4711', 'd', '--pid', '4711', '--images-dir', './d']],
  ])('%j are the same process and directory', async (argv) => {
    const { imagesDir, ...rest } = (await flagsOf(dump, ...argv)) as { imagesDir: string };
    expect({ ...rest, imagesDir: join('.', imagesDir) }).toEqual(all);
  });

  it('take what follows -- for another program, whatever it looks like', async () => {
    const after = ['--force', '4712', '--', 'x'];
    expect(await flagsOf(dump, '4711', 'd', '--', ...after)).toEqual({ ...all, criuOptions: after });
    expect(await flagsOf(dump, '--pid', '4711', '--images-dir', 'd', '--', '--force')).toEqual({
      ...all,
      criuOptions: ['--force'],
    });
  });

  it.each([
    [['4711', 'd', '--pid', '4712'], 'two processes are named: 4711 and --pid 4712'],
    [['--pid', '4712', '4711'], 'two processes are named: 4711 and --pid 4712'],
    [['4711', 'd', '--images-dir', 'e'], 'two directories are named: d and --images-dir e'],
    [['4711', 'd', 'e'], 'it: unexpected argument "e"'],
    [['--pid', '4711', '--images-dir', 'd', '4711', 'd', 'e'], 'it: unexpected argument "e"'],
    [['--pid', '4711', 'd', '--', 'e'], undefined],
    [[], 'it needs <pid> and <dir>'],
    [['4711'], 'it needs <dir>'],
    [['--', 'd'], 'it needs <pid> and <dir>'],
  ])('%j: %s', async (argv, message) => {
    const outcome = flagsOf(dump, ...argv);
    if (message === undefined) await expect(outcome).resolves.toMatchObject({ pid: 4711, imagesDir: 'd' });
    else await expect(outcome).rejects.toThrow(message);
  });

  it('name the argument that cannot be parsed', async () => {
    await expect(flagsOf(golden, 'd', 'maybe')).rejects.toThrow('<state> is "maybe"; accepted: on, off');
  });

  it('leave a word to the next argument when its own has an option', async () => {
    expect(await flagsOf(golden, '--images-dir', 'd', 'on')).toEqual({ imagesDir: 'd', state: 'on' });
    await expect(flagsOf(golden, '--images-dir', 'd', 'e', 'on')).rejects.toThrow('two directories');
  });

  it('may be left out when they are optional', async () => {
    const optional = (command: Command): Command =>
      addOperands(command, [{ ...imagesDirOperand(), isOptional: true }]);
    expect(await flagsOf(optional)).toEqual({});
    expect(await flagsOf(optional, 'd')).toEqual({ imagesDir: 'd' });
  });
});

describe('old names', () => {
  const output = (command: Command): Command =>
    addOutput(command, { description: 'the file to write', isRequired: true });

  it('mean the same', async () => {
    expect(await flagsOf(output, '--output', 'f')).toEqual({ output: 'f' });
    expect(await flagsOf(output, '--out', 'f')).toEqual({ output: 'f', out: 'f' });
    await expect(flagsOf(output, '--out', 'f', '--output', 'g')).rejects.toThrow(
      '--output and --out are the same option, and have two values: g and f',
    );
  });

  it('are not shown, and not what an error asks for', async () => {
    expect(output(new Command('it')).helpInformation()).not.toContain('--out ');
    await expect(flagsOf(output)).rejects.toThrow('it needs --output <file>');
  });

  it('win over a default, and are parsed like the new one', async () => {
    const requests = new Option('--requests <n>').argParser(Number).default(3);
    const define = (command: Command): Command =>
      addOldName(command.addOption(requests), requests, '--warmup');
    expect(await flagsOf(define)).toEqual({ requests: 3 });
    expect(await flagsOf(define, '--warmup', '7')).toMatchObject({ requests: 7 });
  });
});
