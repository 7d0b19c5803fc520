// SPDX-License-Identifier: MIT
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecResult } from '../../../lib/exec.ts';
import { findCriu, noCriuError, type System } from '../../../lib/machine/index.ts';
import { checkInChroot, createMachine, criuScript, type TestMachine } from '../setup/machine.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createMachine();
});
afterEach(() => {
  machine.remove();
});

function cacheCriu(version: string, complete = true): string {
  const dir = `cache/criu-${version}`;
  const path = machine.script(join(dir, 'criu'), criuScript(version));
  if (complete) writeFileSync(join(machine.dir, dir, 'COMPLETE'), '{}');
  return path;
}

describe('findCriu', () => {
  it('uses the one on PATH if it is good enough', async () => {
    const path = machine.script('bin/criu', criuScript('4.0'));
    cacheCriu('4.2.1');
    const found = await findCriu(machine.system);
    expect(found).toEqual({ criu: { path, origin: 'path', version: '4.0', usable: true }, rejected: [] });
  });

  it('skips one that is too old and uses the newest in the cache', async () => {
    const old = machine.script('bin/criu', criuScript('3.17.1'));
    cacheCriu('4.1.1');
    const path = cacheCriu('4.10');
    cacheCriu('4.11', false);
    const found = await findCriu(machine.system);
    expect(found.criu).toMatchObject({ path, origin: 'cache', version: '4.10' });
    expect(found.rejected).toEqual([
      {
        path: old,
        origin: 'path',
        version: '3.17.1',
        usable: false,
        reason: 'version 3.17.1 is older than 4.0',
      },
    ]);
  });

  it('says why criu check fails', async () => {
    const check = 'echo "Warn  (x): odd" >&2; echo "Error (cr-check.c:1): no such call" >&2; exit 1';
    machine.script('bin/criu', criuScript('4.2.1', check));
    const found = await findCriu(machine.system);
    expect(found.criu).toBeUndefined();
    expect(found.rejected[0]?.reason).toBe('criu check fails: Error (cr-check.c:1): no such call');
  });

  it('says what to change on the machine when no criu can work there', async () => {
    machine.script('bin/criu', criuScript('4.2.1', checkInChroot));
    const found = await findCriu(machine.system);
    expect(found.rejected[0]).toMatchObject({
      reason: expect.stringContaining('No parent found for mountpoint 164') as string,
      remedy: expect.stringContaining('mount --bind DIR DIR') as string,
    });
  });

  it('asks for rights where criu has too few of them, and for no other criu', async () => {
    const check =
      'echo "CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE capability: " >&2; exit 1';
    machine.script('bin/criu', criuScript('4.2.1', check));
    const found = await findCriu(machine.system);
    expect(found.rejected[0]?.remedy).toMatch(/^run as root/);
  });

  it('runs criu check only when asked to, and remembers what it said', async () => {
    const path = machine.script('bin/criu', criuScript('4.2.1', 'exit 1'));
    const quick = { check: false };
    expect((await findCriu(machine.system, quick)).criu?.path).toBe(path);
    expect((await findCriu(machine.system)).criu).toBeUndefined();
    expect((await findCriu(machine.system, quick)).criu).toBeUndefined();
    machine.script('bin/criu', criuScript('4.2.1'));
    expect((await findCriu(machine.system, quick)).criu?.path).toBe(path);
  });

  it('asks again where the check has failed before, because more than the program decides it', async () => {
    const up = join(machine.dir, 'up');
    const check = `test -e ${up} || { echo "Error (x): Unable to connect a socket: Network is unreachable" >&2; exit 1; }`;
    const path = machine.script('bin/criu', criuScript('4.2.1', check));
    const quick = { check: false };
    expect((await findCriu(machine.system)).rejected[0]).toMatchObject({
      remedy: expect.stringContaining('ip link set lo up') as string,
    });
    expect((await findCriu(machine.system, quick)).criu).toBeUndefined();
    writeFileSync(up, '');
    expect((await findCriu(machine.system, quick)).criu?.path).toBe(path);
  });

  it('believes no failure of a script, because the criu that it runs may be another', async () => {
    const real = machine.script('real/criu', criuScript('4.2.1', 'exit 1'));
    const path = machine.script('bin/criu', `exec ${real} "$@"`);
    const other = cacheCriu('4.2.1');
    expect((await findCriu(machine.system)).criu?.path).toBe(other);
    machine.script('real/criu', criuScript('4.2.1'));
    expect((await findCriu(machine.system, { check: false })).criu?.path).toBe(path);
  });

  describe('with a program in PATH that fails its check, and another one in the cache', () => {
    let checks: string[];
    let failing: Set<string>;
    let system: System;
    let first: string;
    let second: string;

    /** A failure of a script is never believed. */
    const program = (name: string): string => {
      const path = machine.script(name, '');
      copyFileSync('/bin/true', path);
      return path;
    };

    beforeEach(() => {
      checks = [];
      first = program('bin/criu');
      second = program('cache/criu-4.2.1/criu');
      writeFileSync(join(machine.dir, 'cache/criu-4.2.1/COMPLETE'), '{}');
      failing = new Set([first]);
      const result = { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };
      const run = (path: string, [word]: readonly string[]): Promise<ExecResult> => {
        if (word === '--version') return Promise.resolve({ ...result, stdout: 'Version: 4.2.1' });
        checks.push(path);
        return Promise.resolve({ ...result, exitCode: failing.has(path) ? 1 : 0 });
      };
      system = { ...machine.system, run };
    });

    const quick = async (): Promise<string | undefined> =>
      (await findCriu(system, { check: false })).criu?.path;

    it('remembers that, and checks it only when asked to', async () => {
      expect((await findCriu(system)).criu?.path).toBe(second);
      expect(checks).toEqual([first, second]);
      expect([await quick(), await quick()]).toEqual([second, second]);
      expect(checks).toEqual([first, second]);
      failing.clear();
      expect((await findCriu(system)).criu?.path).toBe(first);
      expect(await quick()).toBe(first);
    });

    it('forgets that when it is another program', async () => {
      await findCriu(system);
      rmSync(first);
      program('bin/criu');
      expect(await quick()).toBe(first);
    });

    /** As if something around all of them had changed since they were checked. */
    function changeCircumstances(): void {
      const dir = join(machine.system.env.XDG_CACHE_HOME ?? '', 'criu-cuda', 'facts');
      for (const name of readdirSync(dir)) {
        const fact = readFileSync(join(dir, name), 'utf8');
        writeFileSync(join(dir, name), fact.replace(/"circumstances":"\w/, '"circumstances":"-'));
      }
    }

    it('checks it again when something around it has changed', async () => {
      await findCriu(system);
      changeCircumstances();
      failing.clear();
      expect(await quick()).toBe(first);
      expect(checks).toEqual([first, second, first]);
    });

    it('checks each of them once where all fail and something has changed', async () => {
      failing.add(second);
      expect((await findCriu(system)).criu).toBeUndefined();
      changeCircumstances();
      expect(await quick()).toBeUndefined();
      expect(checks).toEqual([first, second, first, second]);
    });

    it('checks all of them again before it says that there is none', async () => {
      failing.add(second);
      expect((await findCriu(system)).criu).toBeUndefined();
      failing.delete(first);
      expect(await quick()).toBe(first);
    });
  });

  it('asks a program for its version once, and again after it changed', async () => {
    const asked = join(machine.dir, 'asked');
    const script = (version: string): string => `echo >> ${asked}\n${criuScript(version)}`;
    machine.script('bin/criu', script('4.0'));
    for (let i = 0; i < 3; i += 1)
      expect((await findCriu(machine.system, { check: false })).criu?.version).toBe('4.0');
    expect(readFileSync(asked, 'utf8')).toBe('\n');
    machine.script('bin/criu', script('4.1'));
    expect((await findCriu(machine.system, { check: false })).criu?.version).toBe('4.1');
  });

  it('asks a script again when it is checked, because the criu that it runs may be another', async () => {
    const real = machine.script('real/criu', criuScript('3.19'));
    machine.script('bin/criu', `exec ${real} "$@"`);
    const quick = { check: false };
    expect((await findCriu(machine.system, quick)).rejected[0]?.version).toBe('3.19');
    machine.script('real/criu', criuScript('4.1'));
    expect((await findCriu(machine.system)).criu?.version).toBe('4.1');
    expect((await findCriu(machine.system, quick)).criu?.version).toBe('4.1');
  });

  it('runs no program of a cache that another user can write to', async (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory to another user');
    const run = join(machine.dir, 'run');
    machine.script('cache/criu-4.2.1/criu', `echo >> ${run}\n${criuScript('4.2.1')}`);
    const dir = join(machine.system.cacheDir, 'criu-4.2.1');
    writeFileSync(join(dir, 'COMPLETE'), '{}');
    const refusal = async (): Promise<unknown> => (await findCriu(machine.system)).rejected[0];
    for (const path of [join(dir, 'criu'), dir, machine.system.cacheDir]) {
      chownSync(path, 65_534, 65_534);
      expect(await refusal()).toMatchObject({
        reason: `it is in the cache, and another user can change it: ${path}`,
        remedy: expect.stringContaining('CRIU_CUDA_CRIU') as string,
      });
      chownSync(path, 0, 0);
      chmodSync(path, 0o777);
      expect(await refusal()).toMatchObject({ reason: expect.stringContaining(path) as string });
      chmodSync(path, 0o755);
    }
    expect(existsSync(run)).toBe(false);
    expect((await findCriu(machine.system)).criu?.path).toBe(join(dir, 'criu'));
    expect(existsSync(run)).toBe(true);
  });

  it('uses no other if CRIU_CUDA_CRIU names one', async () => {
    cacheCriu('4.2.1');
    const chosen = join(machine.dir, 'nothing-here');
    const env = { ...machine.system.env, CRIU_CUDA_CRIU: chosen };
    const found = await findCriu({ ...machine.system, env });
    expect(found.criu).toBeUndefined();
    expect(found.rejected).toEqual([
      expect.objectContaining({
        path: chosen,
        origin: 'environment',
        reason: 'there is no program at this path',
        // setup would build one that is not used
        remedy: expect.stringMatching(/^unset CRIU_CUDA_CRIU, or set it to/) as string,
      }),
    ]);
    expect(noCriuError(found.rejected).hint).not.toContain('criu-cuda setup');
  });

  it('refuses a program that is not CRIU', async () => {
    machine.script('bin/criu', 'echo hello');
    mkdirSync(machine.system.cacheDir);
    const found = await findCriu(machine.system);
    expect(found.rejected[0]?.reason).toBe('it does not report its version: hello');
  });
});
