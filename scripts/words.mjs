// SPDX-License-Identifier: MIT
// Keeps the English of docs, help, messages and comments plain: scripts/words.txt lists phrases to avoid and what to
// write instead.
//   node scripts/words.mjs [--only AREA[,AREA…]] [FILE or FOLDER…]
// Exit code 0: nothing found; 1: something was; 2: wrong use. A line is exempt if it contains "words-ok: REASON", or
// if a comment on the line above does.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { languageOf, proseOf } from './prose.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const areas = {
  docs: /^docs\/|\.md$/,
  lib: /^lib\//,
  native: /^native\//,
  c: /^plugins-cuda\//,
  scripts: /^(?:scripts|\.ci)\//,
  test: /^test\//,
  benchmarks: /^benchmarks\//,
  packaging: /^(?:packaging|debian)\//,
};
/** Text of others, generated files, and the vocabulary itself. */
const unchecked =
  /^(?:LICENSES|test\/fixtures|benchmarks\/results)\/|\/(?:corpus|gen)\/|^scripts\/words\.|^test\/unit\/scripts\/words\.test\.ts$/;

const fields = ['find', 'write', 'wrong', 'right', 'allow', 'term', 'where'];

function usage(message) {
  console.error(`words: ${message}`);
  process.exit(2);
}

/** Words that docs/glossary.md explains: its lines begin with "- **word**". */
function glossary() {
  const path = join(root, 'docs', 'glossary.md');
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return new Set(
    [...text.matchAll(/^- \*\*(.+?)\*\*/gm)].flatMap(([, terms]) => terms.toLowerCase().split(', ')),
  );
}

/** A phrase also matches across the end of a line, but not as part of a longer word or identifier. */
function expression(source) {
  if (source.startsWith('[')) return new RegExp(source, 'g');
  return new RegExp(`(?<![\\w$])(?:${source.replaceAll(' ', '\\s+')})(?!\\w)`, 'gi');
}

/** The entries of a vocabulary: "name: value" lines, an empty line between two entries, "#" for comments. */
function readVocabulary(path) {
  const blocks = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n{2,}/)
    .filter((block) => block.trim() !== '');
  const explained = glossary();
  return blocks
    .map((block) => {
      const entry = {};
      for (const line of block.trim().split('\n')) {
        const [, name = '', value = ''] = /^(\w+): (.+)$/.exec(line) ?? [];
        if (!fields.includes(name)) usage(`${path}: "${line}" is not one of ${fields.join(', ')}`);
        entry[name] = value;
      }
      for (const name of ['find', 'write', 'wrong', 'right'])
        if (!entry[name]) usage(`${path}: the entry "${block.trim().split('\n')[0]}" has no "${name}"`);
      return { ...entry, find: expression(entry.find), allow: entry.allow && expression(entry.allow) };
    })
    .filter(({ term }) => !term || !explained.has(term));
}

/** Matches of an entry that no allowed phrase contains. */
function* matches({ find, allow }, prose) {
  const allowed = allow ? [...prose.matchAll(allow)].map((m) => [m.index, m.index + m[0].length]) : [];
  for (const match of prose.matchAll(find)) {
    const end = match.index + match[0].length;
    if (!allowed.some(([from, to]) => from <= match.index && end <= to)) yield match;
  }
}

const asPhrase = (text) => text.replace(/\s+/g, ' ').trim();

/** Findings in the words of a file's name, without the extension. */
function checkName(path, vocabulary) {
  const words = path
    .replace(/\.\w+$/, '')
    .split('/')
    .map((part) => part.replace(/[^a-zA-Z]+/g, ' '));
  return vocabulary.flatMap((entry) =>
    words
      .flatMap((part) => [...matches(entry, part)])
      .slice(0, 1)
      .map(([phrase]) => ({ line: 1, text: `the name has "${phrase}": write ${entry.write}` })),
  );
}

/** Exempt lines: line number → position of the marker. A marker without a reason is a finding. */
function exemptions(lines) {
  const exempt = new Map();
  const findings = [];
  lines.forEach((line, index) => {
    const marker = /words-ok(?::\s*(.*?))?\s*(?:\*\/|-->|$)/.exec(line);
    if (!marker) return;
    if (!/\w+\W+\w+/.test(marker[1] ?? ''))
      findings.push({ line: index + 1, text: 'an exemption without a reason: write "words-ok: REASON"' });
    const isAlone = /^\s*(?:\/\/|\/\*|#|\*|<!--)\s*words-ok/.test(line);
    exempt.set(index + (isAlone ? 2 : 1), index + 1);
  });
  return { exempt, findings };
}

function check(path, text, vocabulary) {
  const inText = vocabulary.filter(({ where }) => where !== 'names');
  const prose = proseOf(path, text);
  const lines = text.split('\n');
  const { exempt, findings } = exemptions(lines);
  const used = new Set();
  const starts = [];
  for (let at = 0, i = 0; i < lines.length; at += lines[i].length + 1, i++) starts.push(at);
  const lineOf = (offset) => starts.findLastIndex((start) => start <= offset) + 1;

  for (const entry of inText)
    for (const match of matches(entry, prose)) {
      const line = lineOf(match.index);
      if (exempt.has(line)) used.add(exempt.get(line));
      else findings.push({ line, at: match.index, text: `"${asPhrase(match[0])}": write ${entry.write}` });
    }
  for (const marker of new Set(exempt.values()))
    if (!used.has(marker)) findings.push({ line: marker, text: 'nothing to exempt here: remove "words-ok"' });
  return findings.sort((a, b) => a.line - b.line || (a.at ?? 0) - (b.at ?? 0));
}

function filesOfProject() {
  try {
    const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
    });
    return list.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
  } catch {
    return usage('cannot list the files of the project: run it in a git checkout, or name files');
  }
}

/** Paths to check, relative to the project where they are inside it. */
function chosen(paths, only) {
  const project = () => filesOfProject().filter((path) => languageOf(path) && !unchecked.test(path));
  const inAreas = (list) =>
    only ? list.filter((path) => only.some((area) => areas[area].test(path))) : list;
  if (paths.length === 0) return inAreas(project());
  return inAreas(
    paths.flatMap((path) => {
      const full = resolve(path);
      if (!existsSync(full)) return usage(`there is no ${path}`);
      const name = relative(root, full);
      if (!statSync(full).isDirectory()) return [name];
      return project().filter((file) => name === '' || file.startsWith(`${name}/`));
    }),
  ).filter((path) => languageOf(path) && !unchecked.test(path));
}

function main(args) {
  const paths = [];
  let only;
  let vocabularyPath = join(root, 'scripts', 'words.txt');
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--only') only = (args[++i] ?? '').split(',');
    else if (args[i] === '--vocabulary') vocabularyPath = args[++i] ?? usage('--vocabulary needs a file');
    else if (args[i].startsWith('-'))
      usage(`there is no option ${args[i]}; see the head of scripts/words.mjs`);
    else paths.push(args[i]);
  }
  const unknown = only?.find((area) => !(area in areas));
  if (unknown !== undefined) usage(`there is no area "${unknown}"; areas: ${Object.keys(areas).join(', ')}`);

  const vocabulary = readVocabulary(vocabularyPath);
  const files = chosen(paths, only);
  let count = 0;
  for (const path of files) {
    const name = path.startsWith('..') ? basename(path) : path;
    const findings = [
      ...checkName(name, vocabulary),
      ...check(path, readFileSync(join(root, path), 'utf8'), vocabulary),
    ];
    for (const { line, text } of findings) console.log(`${path}:${line}: ${text}`);
    count += findings.length;
  }
  console.log(`words: ${count === 0 ? 'nothing' : count} found in ${files.length} files`);
  process.exitCode = count === 0 ? 0 : 1;
}

main(process.argv.slice(2));
