// SPDX-License-Identifier: MIT
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnvironmentError } from '../../../lib/errors.ts';
import { errorExitCode } from '../../../lib/exit-code.ts';
import {
  buildPackages,
  buildsHere,
  criuPackages,
  installPackages,
  missingPackages,
} from '../../../lib/setup/packages.ts';
import { planSetup, readSetupState } from '../../../lib/setup/index.ts';
import type { System } from '../../../lib/machine/index.ts';
import { checkInChroot, createMachine, criuScript, type TestMachine } from './machine.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createMachine();
});
afterEach(() => {
  machine.remove();
});

const packages = [...buildPackages, ...criuPackages];

function installedAre(names: readonly string[]): void {
  const lines = names.map((name) => `installed ${name} `).join('\\n');
  machine.script('bin/dpkg-query', `printf '${lines}\\n'`);
}

function useDebianArchive(): void {
  mkdirSync(machine.system.aptDir);
  writeFileSync(
    join(machine.system.aptDir, 'sources.list'),
    'deb http://mirror.example/debian bookworm main\n',
  );
}

async function failureOf(system: System): Promise<EnvironmentError> {
  const state = await readSetupState(system);
  try {
    planSetup(system, state);
  } catch (error) {
    if (error instanceof EnvironmentError) return error;
    throw error;
  }
  throw new Error('planSetup() did not find anything missing');
}

describe('a package that builds nothing here', () => {
  it('needs no compilers when it has a CRIU, and none to refuse the one that is named', async () => {
    installedAre([]);
    machine.script('bin/criu', criuScript('4.2.1'));
    expect(await readSetupState(machine.system, false)).toMatchObject({ packages: [], missing: [] });
    const env = { ...machine.system.env, CRIU_CUDA_CRIU: join(machine.dir, 'none') };
    const { missing } = await readSetupState({ ...machine.system, env }, false);
    expect(missing.map(({ what }) => what)).toEqual([expect.stringContaining('CRIU_CUDA_CRIU is')]);
  });

  it('needs them to build CRIU', async () => {
    installedAre([]);
    useDebianArchive();
    expect((await readSetupState(machine.system, false)).packages).toEqual(packages);
  });

  it('is a bundle, or one with binaries; a clone builds, with binaries too', () => {
    const root = machine.dir;
    expect(buildsHere(root)).toBe(false);
    machine.script('plugins-cuda/CMakeLists.txt', '');
    expect(buildsHere(root)).toBe(true);
    machine.script(`prebuilds/linux-${process.arch}/lib/x`, '');
    expect(buildsHere(root)).toBe(false);
    machine.script('plugins-cuda/test/CMakeLists.txt', '');
    expect(buildsHere(root)).toBe(true);
  });
});

describe('missingPackages', () => {
  it('asks the real dpkg', async () => {
    const { system } = machine;
    expect(await missingPackages(system, ['dpkg', 'no-such-package-here'])).toEqual(['no-such-package-here']);
  });

  it('does not count removed packages, but counts what another one provides', async () => {
    machine.script(
      'bin/dpkg-query',
      `printf 'config-files cmake \\ninstalled pkgconf pkg-config (= 1.8), pkgconfig\\n'`,
    );
    expect(await missingPackages(machine.system, ['cmake', 'pkg-config'])).toEqual(['cmake']);
  });
});

describe('planSetup', () => {
  it('has nothing to do on a complete machine', async () => {
    machine.script('bin/criu', criuScript('4.2.1'));
    installedAre(buildPackages);
    const state = await readSetupState(machine.system);
    expect(state.missing).toEqual([]);
    expect(planSetup(machine.system, state).map((step) => step.isDone)).toEqual([true, true]);
  });

  it('plans packages and CRIU on a bare machine', async () => {
    useDebianArchive();
    installedAre(['cmake']);
    const state = await readSetupState(machine.system);
    expect(state.packages).toEqual(packages.filter((name) => name !== 'cmake'));
    expect(planSetup(machine.system, state).map((step) => step.isDone)).toEqual([false, false]);
  });

  it('lists everything with its command when not root', async () => {
    useDebianArchive();
    installedAre(packages.filter((name) => name !== 'cmake'));
    const error = await failureOf({ ...machine.system, isRoot: false });
    expect(errorExitCode(error)).toBe(2);
    expect(error.message).toContain('must run as root');
    expect(error.missing).toEqual([
      {
        what: 'packages cmake',
        remedy: 'apt-get update && apt-get install --no-install-recommends cmake',
      },
      expect.objectContaining({ what: 'CRIU 4.0 or newer that passes `criu check`' }),
    ]);
  });

  it('does not guess package names on other systems', async () => {
    installedAre([]);
    const error = await failureOf({ ...machine.system, family: ['fedora'] });
    expect(error.message).toContain('only on Debian');
    expect(error.missing.at(-1)?.remedy).toContain('CRIU_CUDA_CRIU');
  });

  it('does not build a CRIU where no criu can work, and says why', async () => {
    installedAre(packages);
    useDebianArchive();
    machine.script('bin/criu', criuScript('4.2.1', checkInChroot));
    const { missing } = await failureOf(machine.system);
    expect(missing).toEqual([
      {
        what: expect.stringContaining('criu check fails') as string,
        remedy: expect.stringContaining('the root directory is not a mount point') as string,
      },
    ]);
  });

  it('does not build a CRIU when the configured one is broken', async () => {
    useDebianArchive();
    installedAre(packages);
    const env = { CRIU_CUDA_CRIU: machine.script('old/criu', criuScript('3.17.1')) };
    const error = await failureOf({ ...machine.system, env });
    expect(error.missing).toHaveLength(1);
    expect(error.missing[0]?.what).toContain('version 3.17.1 is older than 4.0');
  });
});

describe('installPackages', () => {
  const aptGet = (update: number, install: number): string =>
    `echo "$@" >> calls; case "$*" in *update*) echo "E: foreign list" >&2; exit ${update};; *) echo "E: no package" >&2; exit ${install};; esac`;

  function inMachine(): System {
    const { system } = machine;
    return {
      ...system,
      run: (file, args, options) => system.run(file, args, { ...options, cwd: machine.dir }),
    };
  }

  it('continues when a source list cannot be fetched', async () => {
    machine.script('bin/apt-get', aptGet(100, 0));
    await installPackages(inMachine(), ['cmake', 'uuid-dev'], () => undefined);
    const calls = readFileSync(join(machine.dir, 'calls'), 'utf8').trim().split('\n');
    expect(calls).toHaveLength(2);
    expect(calls[1]).toMatch(/install --no-install-recommends cmake uuid-dev$/);
  });

  it('reports both failures and the command to run', async () => {
    machine.script('bin/apt-get', aptGet(100, 100));
    const failure = installPackages(inMachine(), ['cmake'], () => undefined);
    await expect(failure).rejects.toThrow(/foreign list[\s\S]*no package/);
    await expect(failure).rejects.toMatchObject({
      hint: 'packages cmake: apt-get update && apt-get install --no-install-recommends cmake',
    });
  });
});
