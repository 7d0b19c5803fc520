// SPDX-License-Identifier: MIT
/** What the program does when its output reaches nobody, or not all of it. Needs `npm run build:ts`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { programFile } from '../../../lib/paths.ts';

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a shell command line in which `$PROGRAM` is the program. */
async function shell(line: string, env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn('sh', ['-c', line], {
    env: { ...process.env, ...env, PROGRAM: `${process.execPath} ${programFile}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

it.each(['--version', '--help', 'config show --json', 'completion bash'])(
  'says that the output of %s is lost on a full disk',
  async (words) => {
    const { code, stderr } = await shell(`exec $PROGRAM ${words} >/dev/full`);
    expect(stderr).toBe(
      'criu-cuda: cannot write the output: no space left on device; everything else was done\n',
    );
    expect(code).toBe(1);
  },
);

it('keeps the exit code of a command that fails anyway', async () => {
  const { code, stderr } = await shell('exec $PROGRAM --json nonsense >/dev/full');
  expect(stderr).toBe('criu-cuda: cannot write the output: no space left on device\n');
  expect(code).toBe(2);
});

it.each(['2>/dev/full', '2>&-'])('does not mind %s', async (where) => {
  expect(await shell(`exec $PROGRAM nonsense ${where}`)).toEqual({ code: 2, stdout: '', stderr: '' });
});

it.each(['<&-', '>&-', '<&- >&- 2>&-'])('runs with %s', async (where) => {
  const { code, stderr } = await shell(`exec $PROGRAM --version ${where}`);
  expect([code, stderr]).toEqual([0, '']);
});

it('ends without a word when nobody reads', async () => {
  const { stdout, stderr } = await shell('$PROGRAM completion bash | true; $PROGRAM --help | true');
  expect([stdout, stderr]).toEqual(['', '']);
});

it.each([{ LANG: 'C', LC_ALL: 'C' }, { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' }, { NO_COLOR: '1' }])(
  'writes the same with %o',
  async (env) => {
    expect(await shell('exec $PROGRAM config show', env)).toEqual(await shell('exec $PROGRAM config show'));
  },
);
