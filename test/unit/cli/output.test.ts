// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, table, withoutControls } from '../../../lib/output.ts';
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

describe('text that a terminal would act on', () => {
  const hostile = 'a\u001b]0;title\u0007\u001b[2J\u009b31m\r\u202eb\tc\nd';
  const shown = 'a\\u001b]0;title\\u0007\\u001b[2J\\u009b31m\\u000d\\u202eb\tc\nd';

  it('is shown as characters, wherever it comes from', () => {
    const { io, stdout, stderr } = captureIo();
    io.out(hostile);
    io.err(hostile);
    io.result({}, () => hostile);
    expect(stdout()).toBe(`${shown}\n${shown}\n`);
    expect(stderr()).toBe(`${shown}\n`);
  });

  it('is the same string in JSON', () => {
    const { io, stdout } = captureIo({ json: true });
    io.result({ name: hostile }, () => '');
    expect(stdout()).not.toMatch(/[^\P{Cc}\n]|\u202e/u);
    expect(JSON.parse(stdout())).toEqual({ name: hostile });
  });

  it('keeps colors that hide nothing, where there are colors', () => {
    expect(withoutControls('\u001b[31mred\u001b[39m \u001b[8mhidden', true)).toBe(
      '\u001b[31mred\u001b[39m \\u001b[8mhidden',
    );
    expect(withoutControls('\u001b[008mhidden', true)).toBe('\\u001b[008mhidden');
    expect(withoutControls('\u001b[31mred')).toBe('\\u001b[31mred');
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
