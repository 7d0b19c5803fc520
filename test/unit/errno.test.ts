// SPDX-License-Identifier: MIT
/** What a system call has refused, in words. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { expect, it } from 'vitest';
import { describeErrno, reasonOf } from '../../lib/errno.ts';

function failureOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

it.each([
  [() => readFileSync('/no-such-file'), 'cannot open /no-such-file: no such file or directory'],
  [() => readdirSync('/dev/null'), 'cannot read /dev/null: not a directory'],
  [() => statSync('/dev/null/x'), 'cannot look at /dev/null/x: not a directory'],
  [
    () => {
      mkdirSync('/dev');
    },
    'cannot create /dev: file already exists',
  ],
  [
    () => mkdtempSync('/no-such-directory/x'),
    'cannot create /no-such-directory/xXXXXXX: no such file or directory',
  ],
  [
    () => {
      copyFileSync('/dev/null', '/no-such-directory/x');
    },
    'cannot copy /dev/null to /no-such-directory/x: no such file or directory',
  ],
  [
    () => {
      writeFileSync('/dev/full', 'text');
    },
    'cannot write: no space left on device',
  ],
  [
    () => {
      rmdirSync('/no-such-directory');
    },
    'cannot remove /no-such-directory: no such file or directory',
  ],
])('%s: %s', (call, text) => {
  const error = failureOf(call);
  expect(describeErrno(error)).toBe(text);
  expect(reasonOf(error)).toBe(text.slice(text.lastIndexOf(': ') + 2));
});

it('describes no other error', () => {
  const coded = Object.assign(new Error('text'), { code: 'ERR_X' });
  expect([coded, new Error('text'), 'text'].map(describeErrno)).toEqual([undefined, undefined, undefined]);
  expect([coded, new Error('text'), 'text'].map(reasonOf)).toEqual(['ERR_X', 'text', 'text']);
});
