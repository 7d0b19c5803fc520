// SPDX-License-Identifier: MIT
// Extracts the prose of a file: the text of Markdown; comments and string literals of code. The result has the length
// of the file; everything else is NUL, so that offsets and line numbers stay correct and no phrase is found across
// code. Prose continues over lines in block comments, consecutive line comments and joined strings.

const C = { line: ['//'], block: true, quotes: ['"'], character: true };
const SCRIPT = { line: ['//'], block: true, quotes: ["'", '"', '`'], regex: true };
const PYTHON = { line: ['#'], quotes: ['"""', "'''", '"', "'"] };
const SHELL = { line: ['#'], quotes: ['"', "'"], spaced: true };

/** Languages by the extension of a file. Other files are not read. */
const languages = new Map([
  ...['.md', '.service', '.socket', '.timer', 'debian/control', 'debian/changelog'].map((end) => [
    end,
    'text',
  ]),
  ...['.c', '.h', '.cc', '.S', '.map', '.proto'].map((end) => [end, C]),
  ...['.ts', '.mjs', '.js'].map((end) => [end, SCRIPT]),
  ['.py', PYTHON],
  ...['.sh', '.cmake', 'CMakeLists.txt', '.ci/run'].map((end) => [end, SHELL]),
]);

export function languageOf(path) {
  return [...languages].find(([end]) => path.endsWith(end))?.[1];
}

/** Whether a `/` after this code begins a regular expression, not a division. */
const beforeRegex = /(?:^|[=(,:[!&|?{};+\n]|\b(?:return|case|typeof|await|of|in))\s*$/;

/** End of a literal that was opened before `from`; without an end, the end of the line or of the text. */
function endOfLiteral(text, from, close, multiline) {
  for (let i = from; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text.startsWith(close, i)) return i;
    else if (text[i] === '\n' && !multiline) return i;
  }
  return text.length;
}

function endOfRegex(text, from) {
  let inClass = false;
  for (let i = from; i < text.length && text[i] !== '\n'; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '[') inClass = true;
    else if (text[i] === ']') inClass = false;
    else if (text[i] === '/' && !inClass) return i;
  }
  return undefined;
}

/** Reads a template after its backtick: its text, and the prose in its code. @returns its end */
function readTemplate(text, from, language, found) {
  let start = from;
  let i = from;
  while (i < text.length && text[i] !== '`') {
    if (text[i] === '\\') i += 2;
    else if (text.startsWith('${', i)) {
      found.push({ start, end: i, kind: 'string' });
      i = readCode(text, i + 2, language, found, '}') + 1;
      start = i;
    } else i++;
  }
  found.push({ start, end: i, kind: 'string' });
  return i;
}

/**
 * Reads code up to an unpaired `close`, or to the end, and adds its prose to `found`.
 * @returns {number} where it ended
 */
function readCode(text, from, language, found, close) {
  let depth = 0;
  let i = from;
  while (i < text.length) {
    if (close && text[i] === close && depth-- === 0) return i;
    if (close && text[i] === '{') depth++;
    const leader = language.line.find((word) => text.startsWith(word, i));
    if (leader && !(language.spaced && i > 0 && !/\s/.test(text[i - 1]))) {
      const end = endOfLiteral(text, i, '\n', true);
      found.push({ start: i + leader.length, end, kind: 'line' });
      i = end;
    } else if (language.block && text.startsWith('/*', i)) {
      const close = text.indexOf('*/', i + 2);
      const end = close < 0 ? text.length : close;
      found.push({ start: i + 2, end, kind: 'block' });
      i = end + 2;
    } else if (language.character && text[i] === "'") {
      // a character; a single quote inside a number of C++ does not start one
      const isDigits = /[0-9a-fA-F]/.test(text[i - 1] ?? '');
      i = isDigits ? i + 1 : endOfLiteral(text, i + 1, "'", false) + 1;
    } else if (language.regex && text[i] === '/' && beforeRegex.test(text.slice(Math.max(0, i - 40), i))) {
      i = (endOfRegex(text, i + 1) ?? i) + 1;
    } else {
      const quote = language.quotes.find((word) => text.startsWith(word, i));
      if (quote === '`') i = readTemplate(text, i + 1, language, found) + 1;
      else if (quote) {
        const start = i + quote.length;
        const end = endOfLiteral(text, start, quote, quote.length > 1 || language.spaced);
        found.push({ start, end, kind: 'string' });
        i = end + quote.length;
      } else i++;
    }
  }
  return i;
}

/** @returns {{start: number, end: number, kind: 'line' | 'block' | 'string'}[]} */
function segmentsOf(text, language) {
  const found = [];
  readCode(text, 0, language, found);
  return found;
}

/** Whether the gap between two segments only means that the second continues the first. */
function isContinued(previous, gap, next) {
  if (previous.kind === 'line' && next.kind === 'line') return /^\s*(?:\/\/|#)$/.test(gap);
  if (previous.kind !== 'string' || next.kind !== 'string') return false;
  return /^(?:"""|'''|["'`])\s*(?:\+\s*)?[fbru]?(?:"""|'''|["'`])$/.test(gap);
}

const blank = (text, by) => text.replace(/[^\n]/g, by);

/** A comment or string as prose, without comment markers and escapes. */
function readable(text, { kind }, isAlone) {
  if (kind === 'block')
    return text.replace(/(\n[ \t]*)(\*+)/g, (_all, space, stars) => space + blank(stars, ' '));
  if (kind === 'line') return text;
  if (isAlone && !/\s/.test(text.trim())) return blank(text, '\0'); // a name or a path, not a sentence
  return text.replace(/\\(["'`])/g, ' $1').replace(/\\[^\n]/g, '  ');
}

/** Names in backticks, addresses and the targets of links are not prose. */
function withoutNames(prose) {
  return prose
    .replace(/`[^`\s]+`/g, (all) => blank(all, '\0'))
    .replace(/https?:\/\/[^\s)>"'`]+/g, (all) => blank(all, '\0'))
    .replace(/\]\([^)\s]+\)/g, (all) => blank(all, '\0'));
}

/**
 * @param {string} path decides the language
 * @param {string} text
 * @returns {string | undefined} as long as `text`; undefined for a language that is not read
 */
export function proseOf(path, text) {
  const language = languageOf(path);
  if (!language) return undefined;
  if (language === 'text') return withoutNames(text);
  const segments = segmentsOf(text, language);
  const gaps = segments.map(({ start }, i) => text.slice(segments[i - 1]?.end ?? 0, start));
  const continues = segments.map((segment, i) => i > 0 && isContinued(segments[i - 1], gaps[i], segment));
  let prose = '';
  segments.forEach((segment, i) => {
    const isAlone = !continues[i] && !continues[i + 1];
    prose += blank(gaps[i], continues[i] ? ' ' : '\0');
    prose += readable(text.slice(segment.start, segment.end), segment, isAlone);
  });
  return withoutNames(prose + blank(text.slice(prose.length), '\0'));
}
