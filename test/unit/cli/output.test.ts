// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, table } from '../../../lib/output.ts';
import { captureIo } from './capture.ts';

describe('result', () => {
  it('is text for people', () => {
    const { io, stdout } = captureIo();
    io.result({ a: 1 }, () => 'one line');
    expect(stdout()).toBe('one line\n');
  });

  it('is one JSON document for programs, with big numbers as strings', () => {
    const { io, stdout } = captureIo({ json: true });
    io.result({ address: 0x7f0000000000n }, () => 'never asked for');
    expect(JSON.parse(stdout())).toEqual({ address: '139637976727552' });
  });
});

describe('table', () => {
  it('aligns columns, keeps the lines of a cell and leaves no trailing spaces', () => {
    const text = table(
      ['name', 'n'],
      [
        ['a', '1'],
        ['bcd\ne', '20'],
      ],
      { align: ['left', 'right'] },
    );
    expect(text.split('\n')).toEqual(['name   n', 'a      1', 'bcd   20', 'e']);
  });

  it('does not count codes of colors and combining marks, and counts wide characters twice', () => {
    const rows = [
      ['\u001b[32mok\u001b[39m', '1'],
      ['日本', '2'],
      ['e\u0301🙂', '3'],
    ];
    expect(table([], rows).split('\n')).toEqual(['\u001b[32mok\u001b[39m    1', '日本  2', 'e\u0301🙂   3']);
  });

  it('has rows of different length, and may be empty', () => {
    expect(table([], [['a'], ['b', 'c']])).toBe('a\nb  c');
    expect(table(['a', 'b'], [])).toBe('a  b');
    expect(table([], [])).toBe('');
  });
});

describe('numbers', () => {
  it.each([
    [0, '0 B'],
    [1536, '1.5 KiB'],
    [64 * 2 ** 20, '64 MiB'],
    [16.9 * 2 ** 30, '16.9 GiB'],
  ])('%d bytes', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0.25, '0.3 ms'],
    [83, '83 ms'],
    [1234, '1.23 s'],
    [95_000, '1 min 35 s'],
  ])('%d milliseconds', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
