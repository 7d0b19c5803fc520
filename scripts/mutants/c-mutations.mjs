// SPDX-License-Identifier: MIT
// Mistakes in one line of C: different operators, negated conditions, constants that are off by one, missing
// statements and early returns. They change text, not a syntax tree; the caller skips what does not compile.

/**
 * The source with comments, strings, character constants and preprocessor lines blanked out, so that offsets stay the
 * same.
 */
export function maskC(source) {
  const blank = (text) => text.replaceAll(/[^\n]/g, ' ');
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|^[ \t]*#(?:[^\n\\]|\\[\s\S])*/gm;
  return source.replaceAll(token, blank);
}

/** Offset of the bracket that closes the one at `at`; -1 without one. */
function closing(code, at) {
  let depth = 0;
  for (let index = at; index < code.length; index += 1) {
    if (code[index] === '(') depth += 1;
    if (code[index] === ')') depth -= 1;
    if (depth === 0) return index;
  }
  return -1;
}

/** [kind, pattern, replacement]; the first group is replaced, or the whole match without one. */
const replacements = [
  ['comparison', / (==) /g, '!='],
  ['comparison', / (!=) /g, '=='],
  ['comparison', / (<=) /g, '<'],
  ['comparison', / (>=) /g, '>'],
  ['comparison', / (<) (?!<)/g, '<='],
  ['comparison', / (>) (?!>)/g, '>='],
  ['logic', / (&&) /g, '||'],
  ['logic', / (\|\|) /g, '&&'],
  ['logic', /[(&| ](!)(?=[\w(])/g, ''],
  ['arithmetic', / (\+) /g, '-'],
  ['arithmetic', /(?<=[\w)\]]) (-) /g, '+'],
  ['arithmetic', / (\+=) /g, '-='],
  ['arithmetic', / (-=) /g, '+='],
  ['arithmetic', / (\|=) /g, '&='],
  ['arithmetic', / (%) /g, '*'],
  ['constant', /(?<=[ (])(0)(?=[;,) ])/g, '1'],
  ['constant', /(?<=[ (])(1)(?=[;,) ])/g, '0'],
  ['return', /\breturn (-E[A-Z0-9]+);/g, '0'],
  ['return', /\breturn (true);/g, 'false'],
  ['return', /\breturn (false);/g, 'true'],
];

function byPattern(code) {
  return replacements.flatMap(([kind, pattern, text]) =>
    [...code.matchAll(pattern)].map((match) => {
      const offset = match.index + match[0].indexOf(match[1]);
      return { kind, offset, length: match[1].length, text };
    }),
  );
}

/** Conditions that are never or always true; those of loops only never, because otherwise they would not end. */
function byCondition(code) {
  return [...code.matchAll(/\b(if|while) \(/g)].flatMap((match) => {
    const open = match.index + match[0].length - 1;
    const end = closing(code, open);
    if (end === -1) return [];
    const place = { kind: 'condition', offset: open + 1, length: end - open - 1 };
    return (match[1] === 'if' ? ['0', '1'] : ['0']).map((text) => ({ ...place, text }));
  });
}

/** Removed calls, assignments and early returns. */
function byStatement(code) {
  const statement = /^[ \t]+((?:\w[\w>.[\]-]*(?: [+|-]?= |\()|return\b|continue\b|break\b|goto )[^;{}]*;)$/gm;
  return [...code.matchAll(statement)].map((match) => ({
    kind: 'statement',
    offset: match.index + match[0].indexOf(match[1]),
    length: match[1].length,
    text: ';',
  }));
}

/** Every mutation of a source file, in file order: { kind, offset, length, text, line, from }. */
export function mutationsOf(source) {
  const code = maskC(source);
  return [...byPattern(code), ...byCondition(code), ...byStatement(code)]
    .filter(({ offset, length }) => code.slice(offset, offset + length).trim() !== '')
    .sort((a, b) => a.offset - b.offset || a.length - b.length)
    .map((one) => ({
      ...one,
      line: source.slice(0, one.offset).split('\n').length,
      from: source.slice(one.offset, one.offset + one.length),
    }));
}

/** The source with one mutation. */
export function apply(source, { offset, length, text }) {
  return source.slice(0, offset) + text + source.slice(offset + length);
}

/**
 * Chooses items by the seed, always the same ones for the same seed. @returns at most `count` of the items, in their
 * order
 */
export function sample(items, count, seed) {
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const drawn = items.map((item, index) => ({ index, order: random() }));
  drawn.sort((a, b) => a.order - b.order);
  const chosen = new Set(drawn.slice(0, count).map(({ index }) => index));
  return items.filter((_, index) => chosen.has(index));
}
