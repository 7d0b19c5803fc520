// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addCommands, type CommandEntry } from '../../../lib/commands/table.ts';
import { commands, loadAllCommands } from '../../../lib/commands/index.ts';
import { createProgram, main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

function sample() {
  const loaded: string[] = [];
  const ran: string[] = [];
  const { io, stdout } = captureIo();
  const entry = (name: string, define: CommandEntry['load']): CommandEntry => ({
    name,
    description: `the command ${name}`,
    load: () => {
      loaded.push(name);
      return define();
    },
  });
  const leaf = (name: string): CommandEntry =>
    entry(name, () =>
      Promise.resolve((command) => {
        command.option('--size <size>', `size of ${name}`).action(() => {
          ran.push(name);
        });
      }),
    );
  const group = entry('group', () =>
    Promise.resolve((command, groupIo) => {
      addCommands(command, [leaf('inner'), leaf('other')], groupIo);
    }),
  );
  const program = new Command('sample').exitOverride().configureOutput({
    writeOut: (text) => {
      io.out(text);
    },
  });
  addCommands(program, [leaf('first'), group], io);
  const call = (...argv: string[]): Promise<unknown> =>
    program.parseAsync(argv, { from: 'user' }).catch((error: unknown) => error);
  return { program, call, loaded, ran, stdout };
}

describe('a table of commands', () => {
  it('is shown by --help without loading a command', async () => {
    const { call, loaded, stdout } = sample();
    await call('--help');
    expect(stdout()).toContain('the command first');
    expect(stdout()).toContain('the command group');
    expect(loaded).toEqual([]);
  });

  it('loads only what is used', async () => {
    const { call, loaded, ran } = sample();
    await call('group', 'inner', '--size', '1');
    expect(loaded).toEqual(['group', 'inner']);
    expect(ran).toEqual(['inner']);
  });

  it.each([
    [['first', '--help'], 'size of first', ['first']],
    [['help', 'first'], 'size of first', ['first']],
    [['help', 'group'], 'the command other', ['group']],
    [['help', 'group', 'inner'], 'size of inner', ['group', 'inner']],
    [['group', 'help', 'inner'], 'size of inner', ['group', 'inner']],
  ])('loads a command for its help: %j', async (argv, text, expected) => {
    const { call, loaded, ran, stdout } = sample();
    await call(...argv);
    expect(stdout()).toContain(text);
    expect(loaded).toEqual(expected);
    expect(ran).toEqual([]);
  });

  it('loads everything once for what looks at all options', async () => {
    const { program, loaded } = sample();
    await loadAllCommands(program);
    await loadAllCommands(program);
    expect(loaded).toEqual(['first', 'group', 'inner', 'other']);
  });
});

describe('the commands', () => {
  it('can all be loaded, and each does something', async () => {
    const program = createProgram(captureIo().io);
    await loadAllCommands(program);
    const names = program.commands.map((command) => command.name());
    expect(names).toEqual([...commands.map(({ name }) => name), 'help']);
    for (const command of program.commands) {
      const help = command.createHelp();
      const parts = [...help.visibleOptions(command), ...command.commands, ...command.registeredArguments];
      expect([command.name(), parts.length]).not.toEqual([command.name(), 0]);
    }
  });

  it('names a command that help does not know', async () => {
    const { io, stderr } = captureIo();
    expect(await main(['help', 'nothing'], io)).toBe(2);
    expect(stderr()).toContain("unknown command 'nothing'");
  });
});
