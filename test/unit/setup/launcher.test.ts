// SPDX-License-Identifier: MIT
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { defaultBuildDir, programFile, projectRoot, starterOf } from '../../../lib/paths.ts';
import { readLauncher, removeLauncher, writeLauncher } from '../../../lib/setup/index.ts';
import { createMachine, type TestMachine } from './machine.ts';

let machine: TestMachine;
let dir: string;
let path: string;

beforeEach(() => {
  machine = createMachine();
  dir = machine.system.programDir;
  path = join(dir, 'criu-cuda');
  machine.system = { ...machine.system, env: { PATH: dir } };
});
afterEach(() => {
  machine.remove();
});

function put(text: string): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

it('is written, runs the program of this clone from any directory, and is removed', async () => {
  expect(readLauncher(machine.system)).toMatchObject({
    path,
    state: 'free',
    missing: { what: 'criu-cuda in PATH' },
  });
  expect(writeLauncher(dir)).toBe(path);
  expect(readLauncher(machine.system)).toEqual({ path, state: 'done', runs: undefined, missing: undefined });
  // a node that prints its arguments, because dist/ may not be built
  const words = readFileSync(path, 'utf8').replaceAll(process.execPath, '/usr/bin/printf');
  put(words.replaceAll(`'${programFile}'`, "'<%s>'"));
  const { stdout } = await exec(path, ['run', '--', 'two words', '$HOME'], { cwd: '/' });
  expect(stdout).toBe('<run><--><two words><$HOME>');

  writeLauncher(dir);
  expect(removeLauncher(machine.system)).toBe(path);
  expect(existsSync(path)).toBe(false);
  expect(removeLauncher(machine.system)).toBeUndefined();
});

it.each(['restore', 'checkpoint'])('runs %s through the build, where there is one', async (command) => {
  writeLauncher(dir);
  const start = join(dir, 'start');
  const words = readFileSync(path, 'utf8').replaceAll(starterOf(defaultBuildDir), start);
  put(words.replaceAll(process.execPath, '/bin/echo').replaceAll(programFile, 'program'));
  expect((await exec(path, [command, 'two words'])).stdout).toBe(`program ${command} two words`);
  writeFileSync(start, '#!/bin/sh\necho "started $*"\n', { mode: 0o755 });
  expect((await exec(path, [command, 'two words'])).stdout).toBe(
    `started /bin/echo program ${command} two words`,
  );
  expect((await exec(path, ['status'])).stdout).toBe('program status');
});

it('replaces what an earlier version wrote for this clone, and removes it', () => {
  writeLauncher(dir);
  const old = readFileSync(path, 'utf8').replace(/^case[^]*^esac\n/m, '');
  expect(old.split('\n')).toHaveLength(4);
  put(old);
  expect(readLauncher(machine.system)).toMatchObject({ state: 'free', runs: undefined });
  expect(removeLauncher(machine.system)).toBe(path);
  expect(existsSync(path)).toBe(false);
});

it('refuses to remove or to replace a file that setup did not write', () => {
  put('#!/bin/sh\necho mine\n');
  expect(readLauncher(machine.system)).toMatchObject({
    state: 'foreign',
    missing: { remedy: `${path} was not written by setup: remove it, then run setup` },
  });
  expect(() => removeLauncher(machine.system)).toThrow(`${path} is not removed`);
  expect(readFileSync(path, 'utf8')).toBe('#!/bin/sh\necho mine\n');
});

it('replaces the launcher of another clone, but does not remove it', () => {
  writeLauncher(dir);
  put(readFileSync(path, 'utf8').replaceAll(projectRoot, '/other'));
  expect(readLauncher(machine.system)).toMatchObject({ state: 'free', runs: '/other/dist/cli.cjs' });
  expect(() => removeLauncher(machine.system)).toThrow('did not write it');
  expect(existsSync(path)).toBe(true);
});

it('says why a shell does not find it', () => {
  writeLauncher(dir);
  const missingWith = (PATH: string): string | undefined =>
    readLauncher({ ...machine.system, env: { PATH } })?.missing?.remedy;
  expect(missingWith('/usr/bin')).toBe(`add ${dir} to PATH`);
  machine.script('bin/criu-cuda', 'true');
  expect(missingWith(`${machine.bin}:${dir}`)).toBe(
    `${join(machine.bin, 'criu-cuda')} comes before ${path}: remove it, or change PATH`,
  );
});
