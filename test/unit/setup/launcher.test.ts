// SPDX-License-Identifier: MIT
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { programFile, projectRoot } from '../../../lib/paths.ts';
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
  const words = readFileSync(path, 'utf8').replace(process.execPath, '/usr/bin/printf');
  put(words.replace(`'${programFile}'`, "'<%s>'"));
  const { stdout } = await exec(path, ['run', '--', 'two words', '$HOME'], { cwd: '/' });
  expect(stdout).toBe('<run><--><two words><$HOME>');

  writeLauncher(dir);
  expect(removeLauncher(machine.system)).toBe(path);
  expect(existsSync(path)).toBe(false);
  expect(removeLauncher(machine.system)).toBeUndefined();
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
