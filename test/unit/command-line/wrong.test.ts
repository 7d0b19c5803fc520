// SPDX-License-Identifier: MIT
/** Every command, typed wrongly in three ways: it starts nothing, and its answer leads to its own help. */
import type { Command } from 'commander';
import { beforeAll, expect, it } from 'vitest';
import { commandName, commandSpec } from '../../../lib/command-line/index.ts';
import { loadAllCommands } from '../../../lib/commands/index.ts';
import { createProgram, main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

const leaves = (command: Command): Command[] =>
  command.commands.length > 0 ? command.commands.flatMap(leaves) : command.name() === 'help' ? [] : [command];

let commands: Command[];
beforeAll(async () => {
  const program = createProgram(captureIo().io);
  await loadAllCommands(program);
  commands = leaves(program);
  expect(commands.length).toBeGreaterThan(45);
});

/** Exit code and standard error of a command line; nothing is on standard output. */
async function answer(argv: readonly string[]): Promise<[number, string]> {
  const { io, stdout, stderr } = captureIo();
  const code = await main(argv, io);
  expect([argv, stdout()]).toEqual([argv, '']);
  return [code, stderr()];
}

it('with an option that does not exist', async () => {
  for (const command of commands) {
    const name = commandName(command);
    const [code, text] = await answer([...name.split(' '), '--no-such-option']);
    expect([name, code]).toEqual([name, 2]);
    expect(text).toContain("criu-cuda: unknown option '--no-such-option'\n");
    expect(text).toContain(`see criu-cuda ${name} --help\n`);
  }
});

it('with its name misspelled', async () => {
  for (const command of commands) {
    const words = commandName(command).split(' ');
    const last = words.pop() ?? '';
    const typed = last.length > 3 ? last.slice(0, -2) + last.slice(-1) : `${last}x`;
    const [code, text] = await answer([...words, typed]);
    expect([typed, code]).toEqual([typed, 2]);
    expect(text).toContain(`criu-cuda: unknown command '${typed}'\n`);
    expect(text).toMatch(new RegExp(`did you mean (one of )?.*\\b${last}\\b`));
  }
});

it('with an argument too many', async () => {
  const takesMore = (command: Command): boolean => command.registeredArguments.at(-1)?.variadic === true;
  for (const command of commands) {
    const { operands, rest } = commandSpec(command);
    if (takesMore(command) && !rest) continue;
    const name = commandName(command);
    const values: Record<string, string> = { pid: '4194303', state: 'on', shell: 'bash' };
    const known =
      operands.length > 0
        ? operands.map((one) => one.name)
        : command.registeredArguments.map((one) => one.name());
    const words = known.map((one) => values[one] ?? '/nowhere');
    const [code, text] = await answer([...name.split(' '), ...words, 'excess']);
    expect([name, code, text.split('\n')[0]]).toEqual([
      name,
      2,
      `criu-cuda: ${name}: unexpected argument "excess"`,
    ]);
    expect(text).toContain(`see criu-cuda ${name} --help\n`);
  }
});
