// SPDX-License-Identifier: MIT
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { loadAllCommands } from '../../../lib/commands/index.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { manPage, pageName } from '../../../lib/man/page.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { createProgram } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

let dir: string;
let commands: Command[];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-man-'));
  const program = createProgram(captureIo().io);
  await loadAllCommands(program);
  commands = [program, ...program.commands.filter((one) => one.name() !== 'help')];
  const options = { version: '1.2.3', date: '2026-01-02' };
  for (const command of commands) writeFileSync(pathOf(command), manPage(command, options));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const pathOf = (command: Command): string => join(dir, `${pageName(command)}.1`);

function needs(context: TestContext, program: string, name: string): void {
  if (findOnPath(program, process.env.PATH) === undefined)
    context.skip(`${program} is not installed: apt-get install ${name}`);
}

it('is installed by npm for every command: package.json names each page, and no other', () => {
  const { man } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { man: string[] };
  expect([...man].sort()).toEqual(commands.map((one) => `./man/${pageName(one)}.1`).sort());
});

/** What a reader sees. */
async function rendered(name: string): Promise<string> {
  const { stdout } = await exec('man', ['-l', join(dir, `${name}.1`)], {
    env: { LC_ALL: 'C', MANWIDTH: '100', MANPAGER: 'cat', MANROFFOPT: '-c' },
  });
  return stdout;
}

describe('man pages', () => {
  it('have a page for every command, with every option of everything below it', () => {
    expect(commands.length).toBeGreaterThan(25);
    for (const command of commands) {
      const page = readFileSync(pathOf(command), 'utf8').replaceAll('\\-', '-');
      const below = command.parent === null ? [command] : [command, ...command.commands];
      for (const { options } of below) {
        const lost = options.filter((one) => !one.hidden && !page.includes(`.B "${one.flags}"`));
        expect([pageName(command), lost.map((one) => one.flags)]).toEqual([pageName(command), []]);
      }
    }
  });

  it('are read by mandoc and man without a warning', async (context) => {
    needs(context, 'mandoc', 'mandoc');
    needs(context, 'man', 'man-db');
    for (const path of commands.map(pathOf)) {
      const lint = await execResult('mandoc', ['-T', 'lint', '-W', 'warning', path]);
      expect([path, lint.stdout + lint.stderr]).toEqual([path, '']);
    }
    const pages = commands.map(pathOf);
    const man = await exec('man', ['--warnings', '-l', ...pages], {
      env: { LC_ALL: 'C', MANPAGER: 'cat' },
    });
    expect(man.stderr).toBe('');
  }, 60_000);

  it('show names, options and examples as they are typed', async (context) => {
    needs(context, 'man', 'man-db');
    const page = await rendered('criu-cuda-checkpoint');
    expect(page).toContain('criu-cuda checkpoint [options] <pid> <dir> [-- criu-options...]');
    expect(page).toContain('--images-dir <dir>');
    expect(page).toContain('  criu-cuda checkpoint 4711 /var/lib/images -- --ghost-limit 64M\n');
    expect(page).toContain('criu-cuda 1.2.3');
    expect(await rendered('criu-cuda-pool')).toContain('criu-cuda pool golden [options] <dir> <state>');
    expect(await rendered('criu-cuda')).toContain('criu-cuda-checkpoint(1),');
  });
});
