// SPDX-License-Identifier: MIT
/** What `scripts/metadata.mjs` copies, and what stops a release. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Manifest {
  version: string;
  author: string;
  bugs: { url: string; email: string };
}
interface Metadata {
  copies: (manifest: Manifest, date: string, read: (path: string) => string) => Record<string, string>;
  releaseProblems: (manifest: Manifest, changelog: { unreleased: string }) => string[];
}

// the scripts have no types
const path = '../../../scripts/metadata.mjs';
const { copies, releaseProblems } = (await import(path)) as Metadata;
const read = (file: string): string => readFileSync(file, 'utf8');
const manifest = JSON.parse(read('package.json')) as Manifest;

it('the address for reports is defined in package.json only', () => {
  const bugs = { ...manifest.bugs, email: 'reports@example.org' };
  const text = copies({ ...manifest, bugs }, '2026-01-01', read)['SECURITY.md'] ?? '';
  expect(text.match(/<[^>]*@[^>]*>/g)).toEqual(['<reports@example.org>']);
  expect(copies(manifest, '2026-01-01', read)['SECURITY.md']).toBe(read('SECURITY.md'));
});

it('a placeholder for it stops a release', () => {
  const problem = 'package.json: "bugs" is a placeholder (example.invalid); write the real one';
  const changelog = { unreleased: '' };
  const bugs = { url: 'https://example.org/issues', email: 'security@example.invalid' };
  expect(releaseProblems({ ...manifest, bugs }, changelog)).toContain(problem);
  const real = { ...bugs, email: 'reports@example.org' };
  expect(releaseProblems({ ...manifest, bugs: real }, changelog)).not.toContain(problem);
});
