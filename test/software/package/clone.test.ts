// SPDX-License-Identifier: MIT
/** What `npm run setup` leaves in PATH, in a clone made for it and on a /usr/local/bin of its own. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

const PROGRAMS = '/usr/local/bin';
let dir: string;
let clone: string;

/** Runs commands in a mount namespace where the programs' directory is the test's own. */
function inShell(commands: string): Promise<ExecResult> {
  const script = `mount --bind "$0" ${PROGRAMS}; ${commands}`;
  const words = ['--mount', 'bash', '-euc', script, join(dir, 'programs')];
  // the clone has a build of its own, and no packed programs
  return execResult('unshare', words, { cwd: dir, timeoutMs: 300_000, env: { PREBUILDS_ONLY: undefined } });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-clone-'));
  clone = join(dir, 'criu-cuda-toolkit');
  await exec('git', ['clone', '--quiet', '--no-hardlinks', projectRoot, clone]);
  symlinkSync(join(projectRoot, 'node_modules'), join(clone, 'node_modules'));
  utimesSync(join(clone, 'package-lock.json'), 0, 0); // so that setup finds them new enough
  mkdirSync(join(dir, 'programs'));
  for (const name of ['node', 'npm'].filter((one) => existsSync(join(PROGRAMS, one))))
    cpSync(join(PROGRAMS, name), join(dir, 'programs', name), { verbatimSymlinks: true });
}, 120_000);
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

it('setup puts criu-cuda of the clone in PATH, and undo removes it', async () => {
  const setup = await inShell(
    `cd ${clone}; npm run --silent setup -- --json; cd /; criu-cuda inspect --help`,
  );
  expect(setup.exitCode, setup.stdout + setup.stderr).toBe(0);
  expect(setup.stdout).toContain(`${PROGRAMS}/criu-cuda`);

  const used = await inShell('cd /; readlink -f "$(command -v criu-cuda)"; criu-cuda --version');
  expect(used.exitCode, used.stderr).toBe(0);
  expect(used.stdout).toMatch(new RegExp(`^${PROGRAMS}/criu-cuda\\n\\d+\\.\\d+\\.\\d+$`));

  const undone = await inShell('criu-cuda setup --undo; hash -r; ! command -v criu-cuda');
  expect(undone.exitCode, undone.stdout + undone.stderr).toBe(0);
  expect(undone.stdout).toContain(`removed ${PROGRAMS}/criu-cuda`);
  expect(existsSync(join(dir, 'programs', 'criu-cuda'))).toBe(false);
}, 300_000);

it('setup does not replace a program of that name that it did not write', async () => {
  const refused = await inShell(
    `echo mine > ${PROGRAMS}/criu-cuda; cd ${clone}; npm run --silent setup -- --json`,
  );
  expect(refused.exitCode).toBe(2);
  expect(refused.stdout).toContain(`${PROGRAMS}/criu-cuda was not written by setup`);
  const kept = await inShell(`cat ${PROGRAMS}/criu-cuda`);
  expect(kept.stdout).toBe('mine');
}, 300_000);
