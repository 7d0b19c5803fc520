// SPDX-License-Identifier: MIT
/** Every error code belongs to one class, which a program can test for, and has one exit code of the command line. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  CommandError,
  describeError,
  EnvironmentError,
  InterruptedError,
  ToolkitError,
  UsageError,
} from '../../lib/errors.ts';
import { errorExitCode } from '../../lib/exit-code.ts';
import { projectRoot } from '../../lib/paths.ts';

interface Row {
  code: string;
  className: string;
  exitCode: string;
}

const page = readFileSync(join(projectRoot, 'docs', 'environment.md'), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ERR_'))
  .map((line): Row => {
    const [, code = '', className = '', exitCode = ''] = line.split('|').map((cell) => cell.trim());
    return { code, className, exitCode };
  });
/** Errors that are not the toolkit's have no class. */
const documented = rows.filter(({ code }) => code !== 'ERR_INTERNAL');

/** The codes that a class declares; `*` stands for a name from elsewhere. */
function codesOf(union: string): string[] {
  return [...union.matchAll(/['`](ERR_[A-Z_]+)(\$\{string\})?['`]/g)].map(
    ([, code = '', rest]) => code + (rest === undefined ? '' : '*'),
  );
}

const sources = readdirSync(join(projectRoot, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(projectRoot, 'lib', name), 'utf8'));
const declared = sources.flatMap((text) =>
  [...text.matchAll(/class (\w+) extends CodedError<([^>]+)>/g)].flatMap(([, className = '', union = '']) =>
    codesOf(union).map((code) => ({ code, className })),
  ),
);

class AnyError extends ToolkitError {}

describe('error codes', () => {
  it('belong to one class each, the one that is documented', () => {
    const byCode = (a: { code: string }, b: { code: string }): number => a.code.localeCompare(b.code);
    const inDocs = documented.map(({ code, className }) => ({ code, className }));
    expect(declared.sort(byCode)).toEqual(inDocs.sort(byCode));
  });

  it('occur only in those classes', () => {
    const others = sources.flatMap((text) => text.match(/class .+ extends ToolkitError\b.*/g) ?? []);
    expect(others).toEqual(['class CodedError<Code extends string> extends ToolkitError {']);
  });
});

describe('exit codes', () => {
  const refusals = [
    'ERR_USAGE',
    'ERR_ENVIRONMENT',
    'ERR_SETTING',
    'ERR_CONFIG_WRITE',
    'ERR_INSPECT_READ',
    'ERR_CHECKPOINT_NO_PROCESS',
    'ERR_CHECKPOINT_REFUSED',
    'ERR_CHECKPOINT_OWN_TREE',
    'ERR_CHECKPOINT_CONTAINER',
    'ERR_CHECKPOINT_IMAGES_DIR',
    'ERR_RESTORE_IMAGES',
    'ERR_RESTORE_FILES',
    'ERR_RESTORE_PID_TAKEN',
    'ERR_RESTORE_PORT_TAKEN',
    'ERR_RESTORE_REFUSED',
    'ERR_CONTAINER_STATE',
    'ERR_GOLDEN_STATE',
  ];

  it.each(documented.map(({ code }) => code))('of %s', (code) => {
    const error = new AnyError(code.replace('*', 'ESRCH'), 'something failed');
    expect(errorExitCode(error)).toBe(refusals.includes(code) ? 2 : 1);
  });

  it('are documented; an interruption has that of its signal', () => {
    const inDocs = rows.map(({ code, exitCode }) => [code, exitCode]);
    const wanted = rows.map(({ code }) => [
      code,
      code === 'ERR_INTERRUPTED' ? '130' : refusals.includes(code) ? '2' : '1',
    ]);
    expect(inDocs).toEqual(wanted);
  });

  it('of a bug in this program is 1', () => {
    expect([new TypeError('x'), 'text', undefined].map(errorExitCode)).toEqual([1, 1, 1]);
  });
});

describe('errors', () => {
  it('are instances of their class, ToolkitError and Error, and have the name of their class', () => {
    const facts = {
      command: 'x',
      exitCode: 1,
      signal: undefined,
      timedOut: false,
      durationMs: 1,
      tail: '',
    };
    const errors = [
      [new UsageError('a'), UsageError],
      [new EnvironmentError('a', [{ what: 'b', remedy: 'c' }]), EnvironmentError],
      [new InterruptedError('ERR_INTERRUPTED', 'a'), InterruptedError],
      [new CommandError('ERR_COMMAND_FAILED', 'a', facts), CommandError],
    ] as const;
    for (const [error, one] of errors) {
      expect(error).toBeInstanceOf(one);
      expect(error).toBeInstanceOf(ToolkitError);
      expect(error.name).toBe(one.name);
      expect(error).not.toHaveProperty('exitCode');
    }
  });
});

describe('for people', () => {
  it('a cause is added once, and a code of a system call is enough', () => {
    const cause = Object.assign(new Error("ENOENT: no such file or directory, open 'x'"), { code: 'ENOENT' });
    const say = (message: string): string => describeError(new Error(message, { cause }));
    expect(say('cannot read x: ENOENT')).toBe('cannot read x: ENOENT');
    expect(say('cannot read x: no such file or directory')).toBe('cannot read x: no such file or directory');
    expect(say('cannot read x')).toBe(`cannot read x (${cause.message})`);
    expect(say(`cannot read x: ${cause.message}`)).toBe(`cannot read x: ${cause.message}`);
  });

  it('a remedy is given once for everything it mends', () => {
    const missing = [
      { what: 'one', remedy: 'criu-cuda build' },
      { what: 'two', remedy: 'criu-cuda setup' },
      { what: 'three', remedy: 'criu-cuda build' },
    ];
    const { hint } = new EnvironmentError('not ready', missing);
    expect(hint).toBe('one, three: criu-cuda build\ntwo: criu-cuda setup');
  });

  it('what the message names is not named again before its remedy', () => {
    const remedy = 'pass the images directory of a checkpoint';
    const missing = { what: '/var/img', remedy };
    expect(new EnvironmentError('/var/img does not exist', [missing]).hint).toBe(remedy);
    expect(new EnvironmentError('no images', [missing]).hint).toBe(`/var/img: ${remedy}`);
    const two = [missing, { what: 'criu', remedy: 'criu-cuda setup' }];
    expect(new EnvironmentError('/var/img does not exist', two).hint).toBe(
      `/var/img: ${remedy}\ncriu: criu-cuda setup`,
    );
  });
});
