// SPDX-License-Identifier: MIT
/** What the program loads, by command. Needs `npm run build:ts`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { programFile, projectRoot } from '../../../lib/paths.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-loaded-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

interface Loaded {
  stdout: string;
  /** Files that Node loaded, below the project. */
  files: string[];
  /** Sources whose code is in these files, such as `lib/errors.ts`. */
  sources: string[];
}

async function load(...args: string[]): Promise<Loaded> {
  const seen = join(dir, 'seen');
  const recorder = join(dir, 'recorder.cjs');
  writeFileSync(
    recorder,
    `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(seen)}, Object.keys(require.cache).join('\\n')));`,
  );
  const words = ['--require', recorder, programFile, ...args];
  const { stdout } = await exec(process.execPath, words, { env: { CRIU_CUDA_CONFIG: undefined } });
  const paths = readFileSync(seen, 'utf8')
    .split('\n')
    .filter((path) => path !== recorder);
  const text = paths.map((path) => readFileSync(path, 'utf8')).join('\n');
  return {
    stdout,
    files: paths.map((path) => relative(projectRoot, path)),
    sources: [...text.matchAll(/^\/\/ ((?:lib|node_modules)\/\S+)$/gm)].map(([, source = '']) => source),
  };
}

describe('the program', () => {
  it('loads at most five files to print its version', async () => {
    const { stdout, files } = await load('--version');
    expect(stdout).toMatch(/^\d+\.\d+\.\d+$/);
    expect(files).toContain('dist/cli.cjs');
    expect(files.length).toBeLessThanOrEqual(5);
    for (const file of files) expect(file).toMatch(/^dist\/cli(?:\.cjs|\/)/);
  });

  it('loads no command for its help', async () => {
    const { stdout, sources } = await load('--help');
    expect(stdout).toContain('checkpoint');
    expect(sources).toContain('lib/commands/table.ts');
    expect(sources.filter((source) => /^lib\/(?:commands\/.*\/|checkpoint|restore)/.test(source))).toEqual(
      [],
    );
  });

  it.each(['checkpoint', 'restore'])(
    'loads for %s what it uses, from at most eight files',
    async (command) => {
      const { stdout, files, sources } = await load(command, '--help');
      expect(stdout).toContain('--images-dir');
      expect(files.length).toBeLessThanOrEqual(8);
      expect(sources).toContain(`lib/commands/process/${command}.ts`);
      const others =
        /^lib\/(?:container|golden|benchmark|report|setup|bundle|build|demo|selftest|server|doctor)\//;
      expect(sources.filter((source) => others.test(source))).toEqual([]);
    },
  );

  it('loads for images of a registry nothing that only containers need', async () => {
    const { stdout, sources } = await load('golden', 'restore', '--help');
    expect(stdout).toContain('--cache-budget');
    const others = /^lib\/(?:container\/(?!presets)|golden|benchmark|report|setup)/;
    expect(sources.filter((source) => others.test(source))).toEqual([]);
  });

  it('loads other commands without those', async () => {
    const { sources } = await load('config', 'show');
    expect(sources).toContain('lib/commands/machine/config.ts');
    expect(sources.filter((source) => /^lib\/(?:checkpoint|restore|criu)\//.test(source))).toEqual([]);
  });
});
