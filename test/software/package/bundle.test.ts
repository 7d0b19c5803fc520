// SPDX-License-Identifier: MIT
/** A bundle, unpacked in a place with only a shell and the C and C++ libraries. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBundle, type BundleResult } from '../../../lib/bundle/index.ts';
import { EnvironmentError, UsageError } from '../../../lib/errors.ts';
import type { ExecResult } from '../../../lib/exec.ts';
import type { SelftestResult } from '../../../lib/selftest/index.ts';
import { pluginVariants } from '../../../lib/variant.ts';
import { makeBareRoot, runInBareRoot } from '../../helpers/bare-root.ts';

const MIB = 2 ** 20;
let dir: string;
let root: string;
let bundle: BundleResult;

beforeAll(async () => {
  dir = mkdtempSync('/dev/shm/criu-cuda-bundle-test-');
  root = join(dir, 'root');
  bundle = await createBundle({ out: join(dir, 'bundle.tar.xz'), compressionLevel: 0 });
  makeBareRoot(root);
  execFileSync('tar', ['-xJf', bundle.file, '-C', join(root, 'opt')]);
}, 300_000);
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function cli(...words: string[]): Promise<ExecResult> {
  return runInBareRoot(root, [`/opt/${bundle.folder}/bin/criu-cuda`, ...words]);
}

describe('a bundle on a bare machine', () => {
  beforeEach((context) => {
    if (process.geteuid?.() !== 0) context.skip('a private root file system needs root');
  });

  it.each(pluginVariants)('dumps and restores with variant %s, every byte checked', async (variant) => {
    const { stdout, stderr, exitCode } = await cli('demo', '--software', '--json', '--variant', variant);
    expect(exitCode, stdout + stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      checksum: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
    });
  });

  /** Runs a program of the bundle on the software driver. */
  function withSoftcuda(program: string, ...words: string[]): Promise<ExecResult> {
    const softcuda = `/opt/${bundle.folder}/app/plugins-cuda/build/lib/softcuda/libcuda.so.1`;
    const set = ['/bin/env', `CRIU_CUDA_DRIVER=${softcuda}`, 'SOFTCUDA_DIR=/tmp'];
    return runInBareRoot(root, [...set, `/opt/${bundle.folder}/${program}`, ...words]);
  }

  it('lists GPUs and CUDA processes through its addon', async () => {
    const asked = await withSoftcuda('bin/criu-cuda', 'gpu', '--json');
    expect(asked.exitCode, asked.stdout + asked.stderr).toBe(0);
    expect(JSON.parse(asked.stdout)).toMatchObject({ gpus: [{ name: 'softcuda software device 0' }] });
  });

  it.each([
    ['addon.mjs', '--alloc', '4Mx2', '--queries', '100', '--pairs', '1'],
    ['memcpy.mjs', '--size-mb', '4', '--rounds', '1', '--streams', '2'],
  ])('runs benchmarks/%s', async (name, ...words) => {
    const script = `/opt/${bundle.folder}/app/benchmarks/${name}`;
    const { stdout, stderr } = await withSoftcuda('bin/node', script, '--out', '/tmp/out.json', ...words);
    expect(stdout, stderr).toContain('written: /tmp/out.json');
  });

  it('runs its self-test, except for the part that needs Python', async () => {
    const checks = ['round-trip-parallel', 'standby', 'state-query', 'training-full'];
    const { stdout, stderr, exitCode } = await cli('selftest', '--software', '--json', ...checks);
    expect(exitCode, stdout + stderr).toBe(0);
    const { results } = JSON.parse(stdout) as SelftestResult;
    expect(results.map(({ name, status, reason }) => [name, status, reason])).toEqual([
      ['round-trip-parallel', 'passed', undefined],
      ['training-full', 'skipped', 'cannot run python3'],
      ['standby', 'passed', undefined],
      ['state-query', 'passed', undefined],
    ]);
  });

  it('needs no compilers, and puts cuda-checkpoint where it is told to', async () => {
    const checked = await cli('setup', '--check');
    expect(checked.exitCode, checked.stdout).toBe(0);
    expect(checked.stdout).toContain('nothing is missing');
    expect((await cli('install', '--cuda-checkpoint', '/bin')).stdout).toContain('/bin/cuda-checkpoint');
    const { stdout, exitCode } = await runInBareRoot(root, ['/bin/cuda-checkpoint', '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('--get-restore-tid');
  });

  it('has a doctor that accepts its own CRIU and plugins', async () => {
    const { checks } = JSON.parse((await cli('doctor', '--json')).stdout) as {
      checks: { id: string; status: string; found: string }[];
    };
    const found = Object.fromEntries(checks.map((check) => [check.id, `${check.status} ${check.found}`]));
    expect(found.criu).toContain(`ok ${bundle.criu}`);
    for (const variant of pluginVariants) expect(found['plugin-build']).toContain(`${variant} `);
    expect(found['plugin-build']).toMatch(/^ok /);
  });
});

describe('a bundle', () => {
  it('is small, and contains no private files and nothing that only a build needs', () => {
    expect(statSync(bundle.file).size).toBeLessThan(60 * MIB);
    const app = join(root, 'opt', bundle.folder, 'app');
    for (const name of ['cmake-js', 'echarts']) {
      expect(existsSync(join(app, 'node_modules', name))).toBe(false);
    }
    expect(readdirSync(join(app, 'packaging', 'systemd'))).toEqual([
      'cuda-poold.service',
      'cuda-poold.socket',
    ]);
    expect(readdirSync(join(app, 'node_modules'))).toContain('koffi');
    const owners = execFileSync('tar', ['--numeric-owner', '-tvJf', bundle.file], { encoding: 'utf8' });
    for (const line of owners.trim().split('\n')) expect(line).toMatch(/^\S+ 0\/0 /);
  });

  it('refuses a wrong file type, a missing directory, and parts that are not built', async () => {
    await expect(createBundle({ out: join(dir, 'x.zip') })).rejects.toThrow(UsageError);
    await expect(createBundle({ out: join(dir, 'no', 'x.tar.xz') })).rejects.toThrow(`${dir}/no`);
    const before = process.env.CRIU_CUDA_BUILD_DIR;
    process.env.CRIU_CUDA_BUILD_DIR = join(dir, 'not-built');
    try {
      const failure = createBundle({ out: join(dir, 'x.tar.xz') });
      await expect(failure).rejects.toThrow(EnvironmentError);
      await expect(failure).rejects.toMatchObject({ hint: expect.stringContaining('plugin full') as string });
    } finally {
      if (before === undefined) delete process.env.CRIU_CUDA_BUILD_DIR;
      else process.env.CRIU_CUDA_BUILD_DIR = before;
    }
    expect(existsSync(join(dir, 'x.tar.xz'))).toBe(false);
  });
});
