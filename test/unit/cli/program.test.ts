// SPDX-License-Identifier: MIT
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { projectRoot } from '../../../lib/paths.ts';
import { main, wantsJson } from '../../../lib/program.ts';
import { captureIo, type Captured } from './capture.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-cli-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

async function call(...argv: string[]): Promise<Captured & { code: number }> {
  const captured = captureIo({ json: wantsJson(argv) });
  return { ...captured, code: await main(argv, captured.io) };
}

describe('main', () => {
  it('knows its version, which is also the C version', async () => {
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      version: string;
    };
    const { stdout, code } = await call('--version');
    expect([stdout().trim(), code]).toEqual([version, 0]);
    expect(readFileSync(join(projectRoot, 'plugins-cuda', 'VERSION'), 'utf8').trim()).toBe(version);
  });

  it('lists every command', async () => {
    const { stdout, code } = await call('--help');
    expect(code).toBe(0);
    const names =
      'doctor setup config build variants inspect install uninstall rollback run checkpoint restore process demo';
    for (const name of names.split(' ')) expect(stdout()).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
  });

  it('shows its help without arguments', async () => {
    const { stderr, stdout, code } = await call();
    expect(stderr()).toContain('Usage: criu-cuda');
    expect([stdout(), code]).toEqual(['', 2]);
  });

  it.each([['config'], ['process'], ['bench'], ['pool'], ['container'], ['cdi']])(
    'shows the help of a group without one of its commands: %s',
    async (group) => {
      const { stderr, stdout, code } = await call(group);
      expect(stderr()).toContain(`Usage: criu-cuda ${group} [options] [command]`);
      expect([stdout(), code]).toEqual(['', 2]);
      const { error } = JSON.parse((await call(group, '--json')).stdout()) as { error: unknown };
      expect(error).toEqual({
        code: 'ERR_USAGE',
        message: 'a command is missing',
        hint: `see criu-cuda ${group} --help`,
      });
    },
  );

  it.each([
    [['nothing']],
    [['inspect']],
    [['variants', '--wrong']],
    [['build', '--variant', 'none']],
    [['config']],
    [['setup', '--check', '--containers']],
    [['setup', '--containers', '--undo', '--dry-run']],
    [['setup', '--undo', '--check']],
  ])('exits with 2 on wrong use: %j', async (argv) => {
    const { stderr, stdout, code } = await call(...argv);
    expect(code).toBe(2);
    expect(stdout()).toBe('');
    expect(stderr()).not.toBe('');
  });

  it.each([
    ['--dry-run'],
    ['--variant', 'stock'],
    ['--image-store', '1G'],
    ['--write-env', './.env'],
    ['--no-huge-pages'],
  ])('refuses options of container setup, instead of installing: %s', async (...flags) => {
    const { stderr, stdout, code } = await call('setup', ...flags);
    expect(stderr()).toBe(
      `criu-cuda: ${flags[0]} is an option of container setup\nsee criu-cuda container setup --help\n`,
    );
    expect([stdout(), code]).toEqual(['', 2]);
  });

  it('prints one line for a known error, and its hint', async () => {
    const { stderr, code } = await call('inspect', join(dir, 'missing.so'));
    expect(stderr()).toMatch(/^criu-cuda: cannot read .*missing\.so: ENOENT/);
    expect(code).toBe(2);
  });

  it('prints errors as JSON on stdout with --json', async () => {
    const { stdout, stderr, code } = await call('variants', '--wrong', '--json');
    expect(JSON.parse(stdout())).toEqual({
      error: {
        code: 'ERR_USAGE',
        message: "unknown option '--wrong'",
        hint: 'see criu-cuda variants --help',
      },
    });
    expect([stderr(), code]).toEqual(['', 2]);
  });

  it('can exit with an error code without an error', async () => {
    const path = join(dir, 'text.so');
    writeFileSync(path, 'text');
    const { stdout, code } = await call('inspect', path, '--json');
    expect(JSON.parse(stdout())).toMatchObject({ kind: 'not-a-plugin' });
    expect(code).toBe(1);
  });
});

describe('wantsJson', () => {
  it('does not touch the command line of another program', () => {
    expect(wantsJson(['doctor', '--json'])).toBe(true);
    expect(wantsJson(['run', '--', 'tool', '--json'])).toBe(false);
  });
});

it('runs nothing without the interceptor unless asked to', async () => {
  vi.stubEnv('CRIU_CUDA_BUILD_DIR', '/nowhere');
  try {
    const { io, stderr } = captureIo();
    expect(await main(['run', '--', 'true'], io)).toBe(2);
    expect(stderr()).toContain('the interceptor is not built');
    expect(await main(['run', '--no-intercept', '--', 'true'], captureIo().io)).toBe(0);
  } finally {
    vi.unstubAllEnvs();
  }
});
