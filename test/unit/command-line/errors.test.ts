// SPDX-License-Identifier: MIT
/** What a person reads after typing a command wrongly: what is wrong, all of it, and where to read on. */
import { describe, expect, it } from 'vitest';
import { main, wantsJson } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

/** Standard error of a command line that must be refused. */
async function refusal(line: string): Promise<string> {
  const argv = line.split(' ').filter((word) => word !== '');
  const { io, stdout, stderr } = captureIo({ json: wantsJson(argv) });
  expect(await main(argv, io)).toBe(2);
  expect(stdout()).toBe('');
  return stderr();
}

describe('what is missing is reported at once', () => {
  it.each([
    ['checkpoint', 'checkpoint needs <pid> and <dir>'],
    ['checkpoint 4711', 'checkpoint needs <dir>'],
    ['checkpoint --images-dir d', 'checkpoint needs <pid>'],
    ['restore --detach', 'restore needs <dir>'],
    ['process state', 'process state needs <pid>'],
    ['bundle', 'bundle needs --output <file.tar.xz>'],
    ['bench matrix', 'bench matrix needs --store <dirs>'],
    ['golden create', 'golden create needs <name>, <image> and --url <url>'],
    ['golden bench web', 'golden bench needs <image>, --url <url> and --store <dir>'],
    ['pool golden', 'pool golden needs <dir> and <state>'],
    ['inspect', 'inspect needs <plugin.so>'],
  ])('%s', async (line, message) => {
    const name = message.replace(/ needs .*/, '');
    const [first, example, see, ...more] = (await refusal(line)).split('\n');
    expect(first).toBe(`criu-cuda: ${message}`);
    expect(example).toMatch(new RegExp(`^for example: criu-cuda ${name} `));
    expect([see, ...more]).toEqual([`see criu-cuda ${name} --help`, '']);
  });
});

describe('the nearest name is suggested', () => {
  it.each([
    ['chekpoint 4711 d', "unknown command 'chekpoint'", 'checkpoint', '--help'],
    ['pool strat', "unknown command 'strat'", 'start', 'pool --help'],
    ['bundle --ouput f', "unknown option '--ouput'", '--output', 'bundle --help'],
    ['golden create web IMAGE --prest x', "unknown option '--prest'", '--preset', 'golden create --help'],
  ])('%s', async (line, message, nearest, help) => {
    expect(await refusal(line)).toBe(
      `criu-cuda: ${message}\ndid you mean ${nearest}?\nsee criu-cuda ${help}\n`,
    );
  });
});

describe('a word too many is refused before anything happens', () => {
  it.each([
    ['gpu now', 'gpu', ''],
    ['wake 4711 4712', 'wake', ''],
    ['checkpoint 4711 d --leave-running e', 'checkpoint', 'options of criu follow --\n'],
    ['restore d e', 'restore', 'options of criu follow --\n'],
    ['container remove web web2', 'container remove', ''],
    ['image show d e', 'image show', ''],
  ])('%s', async (line, name, hint) => {
    const word = line.split(' ').at(-1) ?? '';
    expect(await refusal(line)).toBe(
      `criu-cuda: ${name}: unexpected argument "${word}"\n${hint}see criu-cuda ${name} --help\n`,
    );
  });
});

it("says where another program's options go, and that a group needs a command", async () => {
  expect(await refusal('checkpoint 4711 d --track-mem')).toContain('options of criu follow --');
  expect(await refusal('run python3 server.py --port 80')).toContain('options of the program follow --');
  expect(await refusal('container create web IMAGE server --port 80')).toContain(
    'options of the program follow',
  );
  expect(await refusal('bench --store d')).toContain('bench needs a command: run, matrix, loop, limits');
});

it('names an option without its value, and a value that is none', async () => {
  expect(await refusal('checkpoint d --pid')).toContain("option '--pid <pid>' argument missing");
  expect(await refusal('checkpoint d 4711')).toBe(
    'criu-cuda: <pid> is "d"; accepted: a whole number, 1 to 4194304\n',
  );
});

it.each([
  ['checkpoint --pid x d', '--pid is "x"; accepted: a whole number, 1 to 4194304'],
  ['container create web IMAGE --gpu all', '--gpu is "all"; accepted: cdi, devices, none'],
  ['bench run --store d --rounds few', '--rounds is "few"; not a whole number'],
  ['completion csh', '<shell> is "csh"; accepted: bash, zsh, fish'],
  ['restore --images-dir=', '--images-dir is ""; accepted: the path of a directory'],
])('says what is accepted: %s', async (line, message) => {
  expect((await refusal(line)).split('\n')[0]).toBe(`criu-cuda: ${message}`);
});
