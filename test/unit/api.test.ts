// SPDX-License-Identifier: MIT
/** The public API: the names of each entry point. Adding or removing a name changes this file, too. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as bench from '../../lib/api/bench.ts';
import * as container from '../../lib/api/container.ts';
import * as gpu from '../../lib/api/gpu.ts';
import * as images from '../../lib/api/images.ts';
import * as index from '../../lib/api/index.ts';
import * as pool from '../../lib/api/pool.ts';
import * as setup from '../../lib/api/setup.ts';
import { projectRoot } from '../../lib/paths.ts';

const entries: Record<string, Record<string, unknown>> = {
  index,
  gpu,
  pool,
  images,
  container,
  bench,
  setup,
};

const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
  main: string;
  types: string;
  typesVersions: { '*': Record<string, string[]> };
  exports: Record<string, { types: string; default: string }>;
};

describe('the main entry point', () => {
  it('exports checkpoint, restore and what they need', () => {
    expect(Object.keys(index).sort()).toEqual([
      'CheckpointError',
      'CommandError',
      'CriuImageError',
      'CriuStatusError',
      'EnvironmentError',
      'InterruptedError',
      'IsolatedError',
      'KeptFilesError',
      'ProcError',
      'RestoreError',
      'SettingError',
      'StopError',
      'SystemCallError',
      'ToolkitError',
      'UsageError',
      'WakeError',
      'becomeSubreaper',
      'checkProcess',
      'checkRestore',
      'checkpoint',
      'describeError',
      'interceptorLibrary',
      'listOperations',
      'listVariants',
      'loadSettings',
      'pluginVariants',
      'preloadEnvironment',
      'readMemoryMap',
      'readMemoryPages',
      'readMemorySummary',
      'readProcessTree',
      'restore',
      'startProgram',
      'stopProcess',
      'waitForExit',
      'wake',
      'watchProcess',
    ]);
  });
});

describe('every entry point', () => {
  it('is in package.json, for every kind of resolution', () => {
    const subpaths = Object.keys(entries).filter((name) => name !== 'index');
    const target = (name: string) => ({
      types: `./dist/api/${name}.d.ts`,
      default: `./dist/api/${name}.js`,
    });
    expect(manifest.exports).toEqual({
      '.': target('index'),
      ...Object.fromEntries(subpaths.map((name) => [`./${name}`, target(name)])),
      './package.json': './package.json',
    });
    expect([manifest.types, manifest.main]).toEqual(Object.values(target('index')));
    expect(manifest.typesVersions).toEqual({
      '*': Object.fromEntries(subpaths.map((name) => [name, [target(name).types]])),
    });
  });

  it('has all its names in the reference of docs/library.md, by purpose', () => {
    const page = readFileSync(join(projectRoot, 'docs', 'library.md'), 'utf8');
    const [, reference = ''] = /^## Reference\n(.*?)^## /ms.exec(page) ?? [];
    const listed = [...reference.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    const names = new Set(Object.values(entries).flatMap((entry) => Object.keys(entry)));
    expect(listed.sort()).toEqual(
      [...names].filter((name) => !name.endsWith('Error') || name === 'describeError').sort(),
    );
  });

  it('exports the same thing under a name that another one has', () => {
    const known = new Map<string, unknown>();
    for (const [entry, names] of Object.entries(entries)) {
      for (const [name, value] of Object.entries(names)) {
        expect(known.get(name) ?? value, `${entry}: ${name}`).toBe(value);
        known.set(name, value);
      }
    }
  });

  it('exports the base class of its errors', () => {
    for (const [entry, names] of Object.entries(entries)) {
      expect(names.ToolkitError, entry).toBe(index.ToolkitError);
      expect(names.UsageError, entry).toBe(index.UsageError);
    }
  });
});

it('every error class can be imported, but for those of the command line alone', () => {
  const names = readdirSync(join(projectRoot, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(projectRoot, 'lib', name), 'utf8'))
    .flatMap((text) => [...text.matchAll(/class (\w+) extends CodedError</g)].map(([, name = '']) => name));
  const exported = new Set(Object.values(entries).flatMap((entry) => Object.keys(entry)));
  expect(names.filter((name) => !exported.has(name))).toEqual(['DemoError', 'SelftestError']);
});

it('what docs/library.md and the examples import is there', () => {
  const examples = readdirSync(join(projectRoot, 'examples')).filter((name) => name.endsWith('.mjs'));
  const texts = ['docs/library.md', ...examples.map((name) => `examples/${name}`)].map((path) =>
    readFileSync(join(projectRoot, path), 'utf8'),
  );
  const imports = texts.flatMap((text) => [
    ...text.matchAll(/import \{([^}]+)\} from 'criu-cuda-toolkit(?:\/(\w+))?'/g),
  ]);
  expect(imports.length).toBeGreaterThan(examples.length);
  for (const [, names = '', entry = 'index'] of imports) {
    const wanted = names.split(',').map((name) => name.trim());
    expect(Object.keys(entries[entry] ?? {})).toEqual(
      expect.arrayContaining(wanted.filter((name) => name !== '')),
    );
  }
});
