// SPDX-License-Identifier: MIT
/** The tool that keeps the English plain: every entry of its vocabulary matches, and it reads prose only. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

const tool = join(projectRoot, 'scripts', 'words.mjs');
const vocabulary = join(projectRoot, 'scripts', 'words.txt');

interface Entry {
  wrong: string;
  right: string;
  write: string;
  where: string;
}

const entries: Entry[] = readFileSync(vocabulary, 'utf8')
  .split(/\n{2,}/)
  .filter((block) => /^find: /m.test(block))
  .map((block) => {
    const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(block)?.[1] ?? '';
    return { wrong: field('wrong'), right: field('right'), write: field('write'), where: field('where') };
  });

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'words-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Checks one file with this text. @returns the findings, one per line: "LINE: TEXT" */
async function check(
  name: string,
  text: string,
): Promise<{ exitCode: number | undefined; findings: string[] }> {
  const path = join(dir, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  const { stdout, stderr, exitCode } = await execResult(process.execPath, [tool, path], {
    timeoutMs: 30_000,
  });
  expect(stderr).toBe('');
  const findings = [...stdout.matchAll(/^[^:\n]+:(\d+: .+)$/gm)].map(([, finding = '']) => finding);
  return { exitCode, findings };
}

describe('the vocabulary', () => {
  const ofText = entries.filter(({ where }) => where !== 'names');

  it('has entries', () => {
    expect(ofText.length).toBeGreaterThan(50);
  });

  // One file for all: one example per paragraph, on odd lines.
  it.each([
    ['docs.md', (text: string) => text],
    ['comment.c', (text: string) => `/* ${text} */`],
    ['message.ts', (text: string) => `say(${JSON.stringify(`${text} `)});`],
    ['script.py', (text: string) => `x = 1  # ${text}`],
  ])('finds the wrong example of every entry in %s, and says what to write', async (name, as) => {
    const { exitCode, findings } = await check(name, ofText.map(({ wrong }) => `${as(wrong)}\n\n`).join(''));
    expect(exitCode).toBe(1);
    const missed = ofText.filter(
      ({ write }, index) =>
        !findings.some(
          (finding) => finding.startsWith(`${2 * index + 1}: "`) && finding.endsWith(`": write ${write}`),
        ),
    );
    expect(missed.map(({ wrong }) => wrong)).toEqual([]);
  });

  it('finds nothing in the right examples', async () => {
    const { exitCode, findings } = await check('docs.md', ofText.map(({ right }) => `${right}\n\n`).join(''));
    expect(findings).toEqual([]);
    expect(exitCode).toBe(0);
  });

  it('applies to the names of files', async () => {
    const { exitCode, findings } = await check('vault.c', '/* fine */\n');
    expect(exitCode).toBe(1);
    expect(findings).toEqual(['1: the name has "vault": write "descriptor backup"']);
    expect((await check('part.c', '/* a part of it */\n')).findings).toHaveLength(1);
  });
});

describe('what is read', () => {
  it('is comments and sentences in strings, not code, names or paths', async () => {
    const { findings } = await check(
      'a.ts',
      [
        "import { collect } from './companions.ts';",
        'const vault = doorbell(lane, talk.letter); // fine',
        "const shape = /it's a vault/g; const ratio = a / b / vault;",
        'say(`a ${vault} of ${settle(patient)}`);',
        "say('go' ); on(); // `vault`, [the file](vault.md), https://example.org/vault",
      ].join('\n'),
    );
    expect(findings).toEqual([]);
  });

  it('is the text of templates, and the strings in their code', async () => {
    const { findings } = await check(
      'a.ts',
      "say(`a ${is({ vault }) ? `door of ${1}` : 'a vault '} lane`);\nvault('door');\n",
    );
    expect(findings.map((finding) => finding.split('"')[1])).toEqual(['door', 'vault']);
  });

  it('reads on over lines: comments, joined strings, paragraphs', async () => {
    const c =
      '/*\n * it stands\n * still\n */\nlog("%d stands "\n    "still");\n// let it\n// go\nx = "go"; y = "on it";\n';
    expect((await check('a.c', c)).findings.map((finding) => finding.split(':')[0])).toEqual(['2', '5', '7']);
    expect((await check('a.ts', "say('it stands ' +\n  'still');\n")).findings).toHaveLength(1);
    expect((await check('a.md', 'It stands\nstill.\n')).findings).toHaveLength(1);
  });

  it('takes quotes, escapes and characters of C as they are', async () => {
    const c = `char q = '"'; int vault = 1'000; log("a \\"vault\\" of %d\\n", 1); /* it's */ int door;\n`;
    expect((await check('a.cc', c)).findings).toEqual(['1: "vault": write "descriptor backup"']);
  });

  it('reads shell comments, and not what only looks like one', async () => {
    const shell = '#!/bin/sh\nx=${y#vault} # the vault\necho "it goes on"\n';
    expect((await check('a.sh', shell)).findings.map((finding) => finding.split(':')[0])).toEqual(['2', '3']);
  });
});

describe('an exemption', () => {
  it('holds for its line, or for the line below a comment of its own', async () => {
    const text = [
      'say("it goes on and "); // words-ok: quotes the kernel',
      '// words-ok: quotes the kernel',
      'say("it goes on and ");',
    ].join('\n');
    expect((await check('a.ts', text)).findings).toEqual([]);
  });

  it('needs a reason, and something to exempt', async () => {
    const { findings } = await check(
      'a.ts',
      'say("it goes on "); // words-ok\n// words-ok: no longer needed\n',
    );
    expect(findings).toEqual([
      '1: an exemption without a reason: write "words-ok: REASON"',
      '2: nothing to exempt here: remove "words-ok"',
    ]);
  });
});

describe('wrong use', () => {
  it.each([
    [['--only', 'dosc'], 'there is no area "dosc"; areas: docs, lib'],
    [['no-such-file.md'], 'there is no no-such-file.md'],
    [['--all'], 'there is no option --all'],
  ])('%j is refused', async (args, message) => {
    const { exitCode, stderr } = await execResult(process.execPath, [tool, ...args], { timeoutMs: 30_000 });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});
