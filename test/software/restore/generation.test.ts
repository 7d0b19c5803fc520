// SPDX-License-Identifier: MIT
// A restored program learns of it from its generation file, and a command can run before it does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, waitForExit } from '../../../lib/process/index.ts';
import { answerAt, answerInside } from '../../helpers/answers.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/generation.py');

interface Answer {
  path: string;
  text: string;
  /** Read by a descriptor that the program has had open since its start. */
  held: string;
}

interface Restored {
  pid: number;
  generation?: number;
  isolated?: { initPid: number };
}

let machine: Machine;
let dir: string;
let port = 0;
let path = '';
const inits: number[] = [];
beforeEach(() => {
  machine = new Machine();
  dir = mkdtempSync(join(tmpdir(), 'ccr-generation-'));
});
afterEach(async () => {
  for (const pid of inits.splice(0)) await machine.kill(pid);
  await machine.close();
  rmSync(dir, { recursive: true });
  rmSync(path, { force: true });
});

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], {
    env: machine.env,
    umask: 0o077, // what others may read does not depend on it
  });

async function start(): Promise<number> {
  const log = join(dir, 'log');
  const words = [
    'run',
    '--quiet',
    '--detach',
    '--no-softcuda',
    '--log',
    log,
    '--',
    'python3',
    program,
    join(machine.dir, 'ticks'),
  ];
  const { exitCode, stdout, stderr } = await cli(words);
  expect(exitCode, stderr).toBe(0);
  const [, listening] = await waitUntil(() => /port (\d+)/.exec(readFileSync(log, 'utf8')));
  port = Number(listening);
  inits.push(Number(stdout));
  return Number(stdout);
}

const ask = (): Promise<Answer> => answerAt(port);

const askInside = (pid: number): Promise<Answer> => answerInside(pid, port);

async function dump(pid: number, imagesDir = machine.imagesDir): Promise<void> {
  const dumped = await cli(['checkpoint', String(pid), imagesDir]);
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  await waitForExit(pid);
}

async function restore(flags: readonly string[] = [], imagesDir = machine.imagesDir): Promise<Restored> {
  const { exitCode, stdout, stderr } = await cli(['--json', 'restore', imagesDir, '--detach', ...flags]);
  expect(exitCode, stdout + stderr).toBe(0);
  const restored = JSON.parse(stdout) as Restored;
  inits.push(restored.isolated?.initPid ?? restored.pid);
  return restored;
}

const first = `${'0'.padEnd(63)}\n`;

it('counts the restores each with an id of its own, after a reboot too', async () => {
  const pid = await start();
  const begun = await ask();
  ({ path } = begun);
  expect(begun).toMatchObject({ text: first, held: first });
  await dump(pid);
  const ids: string[] = [];
  const see = async (number: number, { generation }: Restored): Promise<void> => {
    const { text, held } = await ask();
    expect(text).toMatch(new RegExp(`^${number} [0-9a-f]{32} {29}\n$`));
    expect(held).toBe(text);
    expect(generation).toBe(number);
    expect(statSync(path).mode & 0o7777).toBe(0o644);
    ids.push(text);
  };
  rmSync(path); // as a reboot does
  await see(1, await restore());
  await machine.kill(pid);
  await see(1, await restore());
  await dump(pid, join(machine.dir, 'again'));
  await see(2, await restore([], join(machine.dir, 'again')));
  expect(new Set(ids).size).toBe(3);
});

it('tells each isolated copy its own', async () => {
  const pid = await start();
  ({ path } = await ask());
  await dump(pid);
  await restore();
  const plain = await ask();
  const copies = [await restore(['--isolated-network']), await restore(['--isolated-network'])];
  const texts = await Promise.all(copies.map(async (copy) => (await askInside(copy.pid)).text));
  for (const text of texts) expect(text).toMatch(/^1 [0-9a-f]{32}/);
  expect(new Set([...texts, plain.text]).size).toBe(3);
  expect((await ask()).text).toBe(plain.text);
});

it('runs a command before the program runs, with what it has to know', async () => {
  const pid = await start();
  ({ path } = await ask());
  await dump(pid);
  const [out, ticks] = [join(dir, "it's"), join(machine.dir, 'ticks')];
  const command = `before=$(cat ${ticks}); sleep 0.3; echo "$CRIU_CUDA_PID $CRIU_CUDA_GENERATION $CRIU_CUDA_GENERATION_ID $CRIU_CUDA_IMAGES_DIR $before $(cat ${ticks})" > "${out}"`;
  await restore(['--post-restore', command]);
  const { text } = await ask();
  const [root, number, id, imagesDir, before, after] = readFileSync(out, 'utf8').trim().split(' ');
  expect([Number(root), imagesDir]).toEqual([pid, machine.imagesDir]);
  expect(text.trim()).toBe(`${number} ${id}`);
  expect(after).toBe(before);
  await waitUntil(() => readFileSync(ticks, 'utf8') !== after);
});

it('the output of the command goes into no file that a link leads to', async () => {
  const pid = await start();
  ({ path } = await ask());
  await dump(pid);
  const [other, output] = [join(dir, 'other'), join(machine.imagesDir, 'post-restore.log')];
  writeFileSync(other, 'untouched');
  symlinkSync(other, output);
  await restore(['--post-restore', 'echo said']);
  expect(readFileSync(other, 'utf8')).toBe('untouched');
  expect(readFileSync(output, 'utf8')).toBe('said\n');
});

it('leaves nothing of a program whose command fails', async () => {
  const pid = await start();
  ({ path } = await ask());
  await dump(pid);
  const { exitCode, stderr } = await cli([
    'restore',
    machine.imagesDir,
    '--detach',
    '--post-restore',
    'echo no key; exit 3',
  ]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('the command of --post-restore failed: no key');
  expect(stderr).toContain(join(machine.imagesDir, 'post-restore.log'));
  expect(isAlive(pid)).toBe(false);
  await restore(['--post-restore', 'true']);
  expect((await ask()).text).toMatch(/^1 /);
});

it('is removed with the program that a restore waits for, and made again by the next restore', async () => {
  const pid = await start();
  ({ path } = await ask());
  await dump(pid);
  for (let round = 0; round < 2; round++) {
    const words = [join(projectRoot, 'dist/cli.js'), 'restore', machine.imagesDir];
    const waits = spawn(process.execPath, words, {
      env: { ...process.env, ...machine.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(waits, 'exit');
    await once(waits.stdout, 'data'); // the restore has succeeded: a program that is killed before fails it
    expect((await ask()).text).toMatch(/^1 /);
    process.kill(pid, 'SIGKILL');
    expect(await ended).toEqual([137, null]);
    expect(existsSync(path)).toBe(false);
  }
});
