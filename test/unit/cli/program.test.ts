// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
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
    expect(stderr()).toMatch(/^criu-cuda: cannot read .*missing\.so: no such file or directory/);
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

  it('shows help and version as text beside --json: they are for people', async () => {
    for (const flag of ['--help', '--version']) {
      const [text, json] = [await call(flag), await call('--json', flag)];
      expect([json.stdout(), json.stderr(), json.code]).toEqual([text.stdout(), '', 0]);
    }
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

describe('run', () => {
  const refusal = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await call('run', ...words);
    expect(code).toBe(2);
    return stderr();
  };
  beforeEach(() => {
    mkdirSync(join(dir, 'bin'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('runs nothing without the interceptor unless asked to', async () => {
    symlinkSync(builtProgram('criu-cuda-run'), join(dir, 'bin', 'criu-cuda-run'));
    vi.stubEnv('CRIU_CUDA_BUILD_DIR', dir);
    expect(await refusal('--', 'true')).toContain('the interceptor is not built');
    expect((await call('run', '--no-intercept', '--', 'sh', '-c', 'exit 5')).code).toBe(5);
  });

  it('runs nothing without the launcher', async () => {
    vi.stubEnv('CRIU_CUDA_BUILD_DIR', dir);
    expect(await refusal('--no-intercept', '--', 'true')).toContain('the launcher is not built');
  });

  it('names a program that cannot be run, and why', async () => {
    const [text, script] = [join(dir, 'text'), join(dir, 'script')];
    writeFileSync(text, '');
    writeFileSync(script, '#!/nowhere/interpreter\n', { mode: 0o755 });
    const reasons = {
      'no-such-program': 'it is not in PATH',
      '/nowhere/x': 'there is no such file',
      [text]: 'it is not an executable file',
      [script]: 'No such file or directory',
    };
    for (const [command, reason] of Object.entries(reasons)) {
      expect(await refusal('--', command)).toContain(`cannot run ${command}: ${reason}`);
    }
  });
});
