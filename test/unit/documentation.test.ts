// SPDX-License-Identifier: MIT
/** docs/environment.md promises every setting and every error code, docs/library.md a description of every export. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { definitionOf, settingKeys } from '../../lib/settings/index.ts';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';

const page = readFileSync(join(projectRoot, 'docs', 'environment.md'), 'utf8');
const rows = new Map(
  page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, name = '', second = '']) => [name, second]),
);

function sources(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(dir, name), 'utf8'));
}

describe('docs/environment.md', () => {
  it('has every setting with its default', () => {
    for (const key of settingKeys) {
      expect([key, rows.get(key)]).toEqual([key, definitionOf(key).default || '–']);
    }
  });

  it('has every error code, and no other', () => {
    const used = new Set(
      sources(join(projectRoot, 'lib')).flatMap((text) =>
        [...text.matchAll(/'(ERR_[A-Z_]+)'/g)].map((match) => match[1] ?? ''),
      ),
    );
    const isOfFamily = (code: string): boolean => code.startsWith('ERR_SYSTEM_');
    const documented = [...rows.keys()].filter((name) => name.startsWith('ERR_') && !name.includes('*'));
    const wanted = [...used].filter((code) => !isOfFamily(code));
    expect(documented.sort()).toEqual(wanted.sort());
  });
});

describe('the reference of the library', () => {
  it('describes every function, class and type that is exported', { timeout: 120_000 }, async () => {
    const typedoc = join(projectRoot, 'node_modules', 'typedoc', 'bin', 'typedoc');
    const { stdout, stderr, exitCode } = await execResult(process.execPath, [typedoc, '--emit', 'none'], {
      cwd: projectRoot,
      timeoutMs: 110_000,
    });
    expect(exitCode, stdout + stderr).toBe(0);
  });
});
