// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { fields, list, maybe, number, oneOf, ShapeError, text, truth, whole } from '../../lib/shape.ts';

const shape = fields({
  name: text,
  on: truth,
  ms: number(0),
  pid: whole(1),
  code: whole(),
  kind: oneOf('a', 'b'),
  note: maybe(text),
  parts: list(fields({ n: whole(0) })),
});
const good = {
  name: '',
  on: false,
  ms: 0.5,
  pid: 1,
  code: -3,
  kind: 'b',
  note: 'x',
  parts: [{ n: 0 }, { n: 2 }],
};

describe('a shape', () => {
  it('returns what it checked, without what it does not know', () => {
    expect(shape({ ...good, more: 1, parts: [{ n: 0, more: 1 }, { n: 2 }] })).toEqual(good);
    expect(shape({ ...good, note: undefined }).note).toBeUndefined();
  });

  it.each([
    ['no text', { name: 1 }, 'the value.name is 1, not a text'],
    ['a missing field', { name: undefined }, 'the value.name is missing, not a text'],
    ['no truth', { on: 0 }, 'the value.on is 0, not true or false'],
    ['too small a number', { ms: -1 }, 'the value.ms is -1, not a number of at least 0'],
    ['no number', { ms: '1' }, 'the value.ms is "1"'],
    ['half a number', { pid: 1.5 }, 'the value.pid is 1.5, not a whole number of at least 1'],
    ['a whole number that is not exact', { code: 2 ** 53 }, 'the value.code is 9007199254740992'],
    ['another word', { kind: 'c' }, 'the value.kind is "c", not a or b'],
    ['an optional text that is none', { note: null }, 'the value.note is null, not a text'],
    ['no list', { parts: {} }, 'the value.parts is {}, not a list'],
    ['a wrong member', { parts: [{ n: 0 }, { n: -1 }] }, 'the value.parts[1].n is -1'],
    ['no object', { parts: [3] }, 'the value.parts[0] is 3, not an object'],
  ])('refuses %s, and names it', (_what, change, message) => {
    const check = () => shape({ ...good, ...change });
    expect(check).toThrow(ShapeError);
    expect(check).toThrow(message);
  });

  it.each([[null], [[]], ['text'], [undefined]])('refuses %j for an object', (value) => {
    expect(() => shape(value)).toThrow(ShapeError);
  });
});
