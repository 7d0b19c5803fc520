// SPDX-License-Identifier: MIT
/** What `npm run check` and CI reject; each script is run or called with a small wrong input. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-check-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}

/** Runs a script of the project in `dir`; its exit code and the lines of stderr. */
async function run(script: string, ...args: string[]): Promise<[number, string[]]> {
  const program = join(projectRoot, 'scripts', script);
  const { exitCode, stderr } = await execResult(process.execPath, [program, ...args], { cwd: dir });
  return [exitCode, stderr === '' ? [] : stderr.trimEnd().split('\n')];
}

// in two parts, or `reuse lint` reads it as the license of this file
const tag = ['SPDX-License', 'Identifier'].join('-');
const header = (license: string): string => `// ${tag}: ${license}\n`;

describe('scripts/headers.mjs', () => {
  it('names files without a license or with that of another folder', async () => {
    await exec('git', ['init', '--quiet', dir]);
    write('lib/right.ts', header('MIT'));
    write('lib/none.ts', 'export {};\n');
    write('lib/copyleft.ts', header('GPL-2.0-only'));
    write('plugins-cuda/plugin/right.c', header('GPL-2.0-only'));
    write('plugins-cuda/plugin/wrong.c', header('MIT'));
    write('scripts/run.sh', `#!/bin/sh\n${header('MIT').replace('//', '#')}`);
    write('README.md', 'no source\n');
    const [code, lines] = await run('headers.mjs');
    expect(code).toBe(1);
    expect(lines).toEqual([
      'lib/copyleft.ts: the license is GPL-2.0-only, not MIT',
      `lib/none.ts: the first line is not "${tag}: MIT"`,
      'plugins-cuda/plugin/wrong.c: the license is MIT, not GPL-2.0-only',
    ]);
  });
});

describe('scripts/licenses.mjs', () => {
  const check = (packages: Record<string, unknown>): Promise<[number, string[]]> => {
    write('package-lock.json', JSON.stringify({ packages: { '': { license: 'none' }, ...packages } }));
    return run('licenses.mjs');
  };

  it('accepts what is on its list, and a choice that includes one', async () => {
    const packages = {
      'node_modules/a': { license: 'MIT' },
      'node_modules/b': { license: '(GPL-3.0-only OR ISC)' },
      'node_modules/c': { license: 'Apache-2.0 AND BSD-3-Clause' },
      'node_modules/d': { license: 'MPL-2.0', dev: true },
    };
    expect(await check(packages)).toEqual([0, []]);
  });

  it('names every other package', async () => {
    const packages = {
      'node_modules/a': { license: 'MIT AND GPL-3.0-only' },
      'node_modules/@b/c': { license: 'MPL-2.0' },
      'node_modules/a/node_modules/d': {},
      'node_modules/e': { license: '(MIT OR GPL-3.0-only) AND LGPL-3.0-only' },
    };
    const [code, lines] = await check(packages);
    expect(code).toBe(1);
    expect(lines.map((line) => line.replace(' is not on the list in scripts/licenses.mjs', ''))).toEqual([
      'a: MIT AND GPL-3.0-only',
      '@b/c: MPL-2.0',
      'd: no license',
      'e: (MIT OR GPL-3.0-only) AND LGPL-3.0-only',
    ]);
  });
});

describe('scripts/metadata.mjs', () => {
  const author = 'A Maintainer <maintainer@example.org>';
  const bugs = { url: 'https://example.org/bugs', email: 'reports@example.org' };
  const files = (version: string, changelog: string): void => {
    write('package.json', JSON.stringify({ version, author, bugs }));
    write('package-lock.json', `${JSON.stringify({ version, packages: { '': { version } } }, null, 2)}\n`);
    write('plugins-cuda/VERSION', `${version}\n`);
    write('debian/control', `Source: x\nMaintainer: ${author}\n`);
    write('debian/changelog', '');
    write('SECURITY.md', `Report to <${bugs.email}>.\n`);
    write('CHANGELOG.md', changelog);
    for (const arch of ['x64', 'arm64']) write(`prebuilds/linux-${arch}/criu_cuda.node`, '');
    write('dist/cli.js', '');
    write('dist/cli.cjs', '');
  };

  it('writes the copies, and then accepts them', async () => {
    files('1.2.3', '# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2031-05-06\n');
    expect(await run('metadata.mjs')).toEqual([
      1,
      ['debian/changelog does not agree with package.json: node scripts/metadata.mjs --write'],
    ]);
    expect(await run('metadata.mjs', '--write')).toEqual([0, []]);
    expect(await run('metadata.mjs', '--release')).toEqual([0, []]);
  });

  it('rejects a version without a dated section', async () => {
    files('1.2.4', '# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2031-05-06\n');
    expect(await run('metadata.mjs')).toEqual([
      1,
      ['CHANGELOG.md: the newest section is not "## 1.2.4 - YYYY-MM-DD"'],
    ]);
  });

  it('rejects placeholders, changes without a release, and a package without its binaries', async () => {
    files('1.2.3', '# Changelog\n\n## Unreleased\n\n- a change\n\n## 1.2.3 - 2031-05-06\n');
    write(
      'package.json',
      JSON.stringify({ version: '1.2.3', author, bugs: { ...bugs, email: 'security@example.invalid' } }),
    );
    await run('metadata.mjs', '--write');
    expect(await run('metadata.mjs')).toEqual([0, []]);
    rmSync(join(dir, 'prebuilds', 'linux-arm64'), { recursive: true });
    expect(await run('metadata.mjs', '--release')).toEqual([
      1,
      [
        'package.json: "bugs" is a placeholder (example.invalid); write the real one',
        'CHANGELOG.md: "Unreleased" is not empty; move its entries to a dated section',
        'prebuilds/linux-arm64/criu_cuda.node is not built: npm run build && npm run prebuilds',
      ],
    ]);
  });
});

describe('scripts/skips.mjs', () => {
  it('accepts reasons that a machine imposes, but nothing that could be installed', async () => {
    const skips = [
      'ctest softcuda_abi: no cuda.h was found at build time',
      'containers: podman is not installed: criu-cuda container setup',
      'ctest under address softcuda_criu: criu cannot dump a sanitized program',
      'intercept_copy: this kernel has no MADV_POPULATE_READ',
      'a test: no reason given',
      'round trip: the self-test needs a GPU: no NVIDIA GPU on this machine',
    ];
    const module = JSON.stringify(join(projectRoot, 'scripts', 'skips.mjs'));
    const script = `import { unacceptedSkips } from ${module};
      console.log(JSON.stringify(unacceptedSkips(${JSON.stringify(skips)})));`;
    const { stdout } = await exec(process.execPath, ['--input-type=module', '-e', script]);
    expect(JSON.parse(stdout)).toEqual([skips[0], skips[1], skips[4]]);
  });
});

describe('scripts/check.mjs', () => {
  it('runs the named checks, and lists all of them for an unknown name', async () => {
    expect(await run('check.mjs', '--only', 'metadata,licenses')).toEqual([0, []]);
    const [code, lines] = await run('check.mjs', '--only', 'metadata,spelling');
    expect(code).toBe(2);
    expect(lines.join()).toMatch(/^usage: .* the names are eslint, prettier, /);
  });
});
