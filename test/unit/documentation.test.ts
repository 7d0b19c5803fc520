// SPDX-License-Identifier: MIT
/**
 * What the documentation promises: every setting and error code in docs/environment.md, paths and links that exist,
 * messages that the programs really print.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { definitionOf, settingKeys } from '../../lib/settings/index.ts';
import { projectRoot } from '../../lib/paths.ts';
import { elsewhere, marks, pages as shellPages, shellBlocks } from '../helpers/shell-blocks.ts';

const page = readFileSync(join(projectRoot, 'docs', 'environment.md'), 'utf8');
const rows = new Map(
  page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, name = '', second = '']) => [name, second]),
);

const sourceEnds = ['.ts'];

/** Contents of the files below a folder of the project with these endings, without build output. */
function sources(dir: string, ends: readonly string[] = sourceEnds): string[] {
  return readdirSync(join(projectRoot, dir), { recursive: true, encoding: 'utf8' })
    .filter((name) => ends.some((end) => name.endsWith(end)) && !/(?:^|\/)(?:build[^/]*|corpus)\//.test(name))
    .map((name) => readFileSync(join(projectRoot, dir, name), 'utf8'));
}

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');

/** Pages for readers: in the root, in docs, and the README of every folder that has one. */
const pages = [
  ...readdirSync(projectRoot).filter((name) => name.endsWith('.md')),
  ...['docs', 'benchmarks', 'examples', 'native', 'packaging', 'plugins-cuda'].flatMap((dir) =>
    readdirSync(join(projectRoot, dir), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md') && !/(?:^|\/)(?:build[^/]*|results)\//.test(name))
      .map((name) => join(dir, name)),
  ),
];

const headings = (path: string): string[] =>
  [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.replaceAll('`', ''));

/** The anchor that GitHub creates for a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

describe('docs/environment.md', () => {
  it('lists every setting with its default', () => {
    for (const key of settingKeys) {
      expect([key, rows.get(key)]).toEqual([key, definitionOf(key).default || '–']);
    }
  });

  it('lists every error code, and no other', () => {
    const used = new Set(
      sources('lib').flatMap((text) => [...text.matchAll(/'(ERR_[A-Z_]+)'/g)].map((match) => match[1] ?? '')),
    );
    const isOfFamily = (code: string): boolean => code.startsWith('ERR_SYSTEM_');
    const documented = [...rows.keys()].filter((name) => name.startsWith('ERR_') && !name.includes('*'));
    const wanted = [...used].filter((code) => !isOfFamily(code));
    expect(documented.sort()).toEqual(wanted.sort());
  });
});

describe('pages', () => {
  it.each(pages)('%s links to what exists', (path) => {
    const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target));
    const broken = links.filter((target) => {
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : join(dirname(path), file);
      if (!existsSync(join(projectRoot, linked))) return true;
      return anchor !== undefined && !headings(linked).map(anchorOf).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it.each(pages)('%s names files that exist', (path) => {
    const rooms = 'lib|plugins-cuda|native|docs|scripts|test|examples|benchmarks|packaging';
    const named = [...read(path).matchAll(new RegExp(`\`((?:${rooms})/[\\w./-]+)\``, 'g'))].map(
      ([, name = '']) => name,
    );
    const missing = named.filter(
      (name) => !name.startsWith('plugins-cuda/build') && !existsSync(join(projectRoot, name)),
    );
    expect(missing).toEqual([]);
  });

  it.each(pages)('%s runs the program that setup or npm puts in PATH', (path) => {
    // npx fetches a package of the same name from the registry where none is installed
    expect(read(path).match(/npx criu-cuda|node dist\/cli\.js/g)).toBeNull();
  });

  it('have the sections that the code refers to', () => {
    const texts = [
      ...sources('lib'),
      ...sources('plugins-cuda', ['.c', '.h', '.S', '.proto']),
      ...sources('native', ['.cc', '.h']),
      ...sources('scripts', ['.mjs']),
      ...sources('packaging', ['.service', '.socket']),
      ...pages.map(read),
    ];
    const named = texts.flatMap((text) => [...text.matchAll(/docs\/([\w-]+\.md)(?:, section ([\w -]+))?/g)]);
    expect(named.length).toBeGreaterThan(5);
    for (const [text, file = '', section] of named) {
      expect(existsSync(join(projectRoot, 'docs', file)), text).toBe(true);
      if (section !== undefined) expect(headings(join('docs', file)), text).toContain(section.trim());
    }
  });
});

describe('shell commands of README.md and docs/', () => {
  const blocks = shellPages.flatMap(shellBlocks);

  it('are run by CI, or have a mark that CONTRIBUTING.md lists', () => {
    expect(blocks.filter(({ mark }) => mark === undefined).length).toBeGreaterThan(8);
    const unknown = blocks.filter(({ mark }) => mark !== undefined && !(mark in marks));
    expect(unknown.map(({ page, line, mark }) => `${page}:${line}: ${mark ?? ''}`)).toEqual([]);
    const listed = [...read('CONTRIBUTING.md').matchAll(/^\| `sh (\w+)` +\|/gm)].map(([, mark]) => mark);
    expect(listed).toEqual(Object.keys(marks));
  });

  it('are in blocks that can have a mark', () => {
    const known = ['sh', 'ts', 'python', 'c', 'json', 'yaml', 'ini', 'diff', 'text', 'mermaid'];
    const fences = shellPages.flatMap((page) => [...read(page).matchAll(/^```(\S*)[^\n]*\n(.*?)^```$/gms)]);
    expect(fences.length).toBeGreaterThan(blocks.length);
    for (const [, language = '', text = ''] of fences) {
      if (language !== '') expect(known).toContain(language);
      else expect(text).not.toMatch(/^(?:[$#] )?(?:criu-cuda|npm|podman|docker|sudo) /m);
    }
  });

  it('with the mark elsewhere are in a file that runs them', () => {
    const commands = blocks.filter(({ mark }) => mark === 'elsewhere').flatMap((block) => block.commands);
    expect(commands.length).toBe(elsewhere.length);
    for (const command of commands) {
      const [, file = '', text = ''] = elsewhere.find(([start]) => command.startsWith(start)) ?? [];
      expect([command, file !== '' && read(file).includes(text)]).toEqual([command, true]);
    }
  });

  it('with the mark podman are typed by a test, those of README.md by a task', () => {
    const marked = blocks.filter(({ mark }) => mark === 'podman');
    expect(marked.length).toBeGreaterThan(8);
    expect(read('test/software/docs/podman.test.ts')).toContain("mark === 'podman'");
  });

  it('of README.md without a mark are typed by a task', () => {
    const tasks = read('test/software/docs/tasks.test.ts');
    const typed = blocks.filter(({ page, mark }) => page === 'README.md' && mark !== 'elsewhere');
    for (const { heading } of typed) expect(tasks).toContain(`task('${heading}')`);
  });
});

describe('docs/architecture.md, Find your way', () => {
  const [, section = ''] =
    /^## Find your way\n(.*?)(?=^## |(?![\s\S]))/ms.exec(read('docs/architecture.md')) ?? [];
  const answers = section.split(/^### /m).slice(1);

  it('answers ten questions', () => {
    expect(answers.length).toBeGreaterThanOrEqual(10);
    for (const answer of answers) expect(answer.split('\n')[0]).toMatch(/\?$/);
  });

  it.each(answers.map((answer) => [answer.split('\n')[0], answer]))('%s', (_question, answer = '') => {
    const paths = [...answer.matchAll(/`([\w.-]+(?:\/[\w.-]+)+\/?)`/g)].map(([, path = '']) => path);
    expect(paths).not.toEqual([]);
    expect(paths.filter((path) => !existsSync(join(projectRoot, path)))).toEqual([]);
  });
});

describe('pages that messages name', () => {
  const program = [...sources('lib'), ...sources('plugins-cuda', ['.c', '.h'])].join('\n');
  const named = [...program.matchAll(/docs\/([a-z-]+\.md)(?:, section (\w+(?: \w+)*))?/g)].map(
    ([, page = '', section]) => ({ page, section }),
  );

  it('exist, with the section', () => {
    expect(named.filter(({ section }) => section !== undefined).length).toBeGreaterThan(1);
    const missing = named.filter(({ page, section }) => {
      if (!existsSync(join(projectRoot, 'docs', page))) return true;
      return section !== undefined && !read(`docs/${page}`).split('\n').includes(`## ${section}`);
    });
    expect(missing).toEqual([]);
  });
});

describe('docs/troubleshooting.md', () => {
  it('quotes messages as the programs print them', () => {
    const program = [...sources('lib'), ...sources('plugins-cuda', ['.c', '.h'])]
      .join('\n')
      .replace(/"\s*"|' \+\s*'/g, ''); // messages are often split over lines
    const symptoms = [...read('docs/troubleshooting.md').matchAll(/^\| (.+?) +\|/gm)].map(
      ([, cell = '']) => cell,
    );
    const ours = symptoms.flatMap(
      (cell) =>
        cell
          .split(/CRIU: /)[0]
          ?.match(/`[^`]+`/g)
          ?.map((quoted) => quoted.slice(1, -1)) ?? [],
    );
    const pieces = ours
      .flatMap((message) => message.split('…').map((piece) => piece.trim()))
      .filter((piece) => piece.length > 3);
    expect(pieces.length).toBeGreaterThan(8);
    expect(pieces.filter((piece) => !program.includes(piece))).toEqual([]);
  });
});
