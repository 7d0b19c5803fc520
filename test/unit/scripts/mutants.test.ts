// SPDX-License-Identifier: MIT
/** The mutator of C files: what it changes, and what it does not. */
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

interface Mutation {
  kind: string;
  offset: number;
  length: number;
  text: string;
  line: number;
  from: string;
}

interface Mutator {
  mutationsOf: (source: string) => Mutation[];
  apply: (source: string, mutation: Mutation) => string;
  sample: <T>(items: readonly T[], count: number, seed: number) => T[];
}

const path = join(projectRoot, 'scripts', 'mutants', 'c-mutations.mjs');
const { mutationsOf, apply, sample } = (await import(pathToFileURL(path).href)) as Mutator;

const SOURCE = `/* a == b */
#define LIMIT (a < 1)
static int find(int a)
{
\tint ret = 0;

\tif (a < 0 && "x == y")
\t\treturn -EINVAL;
\tlog_line("a > b", a);
\treturn ret;
}
`;

describe('mutationsOf', () => {
  it('changes operators, conditions, constants, statements and returns', () => {
    const changes = mutationsOf(SOURCE).map(({ line, from, text }) => `${line}: ${from} -> ${text}`);
    expect(changes.sort()).toEqual(
      [
        '5: 0 -> 1',
        '7: 0 -> 1',
        '7: < -> <=',
        '7: && -> ||',
        '7: a < 0 && "x == y" -> 0',
        '7: a < 0 && "x == y" -> 1',
        '8: -EINVAL -> 0',
        '8: return -EINVAL; -> ;',
        '9: log_line("a > b", a); -> ;',
        '10: return ret; -> ;',
      ].sort(),
    );
  });

  it('is applied at one place', () => {
    for (const one of mutationsOf(SOURCE)) {
      const mutated = apply(SOURCE, one);
      expect(mutated).not.toBe(SOURCE);
      expect(mutated.slice(0, one.offset)).toBe(SOURCE.slice(0, one.offset));
      expect(mutated.slice(one.offset + one.text.length)).toBe(SOURCE.slice(one.offset + one.length));
    }
  });
});

describe('sample', () => {
  const items = Array.from({ length: 100 }, (_, index) => index);

  it('is the same for the same seed, in the order of the items', () => {
    const chosen = sample(items, 10, 7);
    expect(chosen).toHaveLength(10);
    expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
    expect(sample(items, 10, 7)).toEqual(chosen);
    expect(sample(items, 10, 8)).not.toEqual(chosen);
    expect(sample(items, 200, 7)).toEqual(items);
  });
});

describe('npm run mutants', () => {
  it.each([
    [['README.md'], 'README.md is not a .ts file of lib or a .c file of plugins-cuda'],
    [['--max', '0'], '--max 0: accepted: a whole number above 0'],
    [['--base', 'no-such-branch'], 'cannot compare with no-such-branch'],
    [['--no-such-option'], 'FILE…'],
  ])('refuses %j', async (words, message) => {
    const tool = join(projectRoot, 'scripts', 'mutants.mjs');
    const { exitCode, stderr } = await execResult(process.execPath, [tool, ...words]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
