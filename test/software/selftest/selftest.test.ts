// SPDX-License-Identifier: MIT
/** The suite for machines with a GPU, on the software driver: its checks can pass, and they can fail. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  existsSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot, softcudaLibrary } from '../../../lib/paths.ts';
import { selftestChecks, type SelftestResult } from '../../../lib/selftest/index.ts';
import { criuProgram, upstreamPlugin } from '../../helpers/criu.ts';

const TIMEOUT_MS = 300_000;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-selftest-test-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** CRIU's own plugin with our cuda-checkpoint. */
function upstreamDir(): string | undefined {
  const plugin = upstreamPlugin();
  if (plugin === undefined) return undefined;
  const path = join(dir, 'upstream');
  mkdirSync(path);
  copyFileSync(plugin, join(path, 'cuda_plugin.so'));
  copyFileSync(builtProgram('cuda-checkpoint'), join(path, 'cuda-checkpoint'));
  return path;
}

function selftest(...words: string[]): Promise<ExecResult> {
  const cli = join(projectRoot, 'dist', 'cli.js');
  return execResult(process.execPath, [cli, 'selftest', '--software', ...words], {
    env: { CRIU_CUDA_CRIU: criuProgram() },
    timeoutMs: TIMEOUT_MS,
  });
}

it('passes as the vitest project gpu, every check of it', { timeout: TIMEOUT_MS }, async ({ skip }) => {
  const upstream = upstreamDir();
  if (upstream === undefined) return skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
  const report = join(dir, 'report.json');
  const vitest = join(projectRoot, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--project', 'gpu', '--reporter=json', `--outputFile=${report}`];
  const { exitCode, stdout, stderr } = await execResult(process.execPath, args, {
    cwd: projectRoot,
    env: { CCR_GPU_SUITE: 'software', CCR_GPU_UPSTREAM: upstream, CRIU_CUDA_CRIU: criuProgram() },
    timeoutMs: TIMEOUT_MS,
  });
  expect(exitCode, stdout + stderr).toBe(0);
  const { numPassedTests } = JSON.parse(readFileSync(report, 'utf8')) as { numPassedTests: number };
  expect(numPassedTests).toBe(selftestChecks.length);
});

it('writes what it measured', { timeout: TIMEOUT_MS }, async () => {
  const out = join(dir, 'result.json');
  const run = await selftest('round-trip-full', 'state-query', '--size', '16M', '--out', out);
  expect(run.exitCode, run.stdout + run.stderr).toBe(0);
  expect(run.stdout).toMatch(/2 passed, 0 failed, 0 skipped; software driver: the times mean nothing$/);
  const { environment, bytes, results } = JSON.parse(readFileSync(out, 'utf8')) as SelftestResult;
  expect(environment.software).toBe(true);
  expect(bytes).toBe(16 * 2 ** 20);
  expect(results.map(({ name, status }) => [name, status])).toEqual([
    ['round-trip-full', 'passed'],
    ['state-query', 'passed'],
  ]);
  const positive = expect.any(Number) as number;
  expect(results[0]?.figures).toEqual({
    ...{ dumpMs: positive, restoreMs: positive, verifiedMs: positive, imageBytes: positive },
  });
});

it(
  'fails with the reason, runs the other checks, and leaves nothing behind',
  { timeout: TIMEOUT_MS },
  async () => {
    const broken = join(dir, 'broken');
    mkdirSync(broken);
    writeFileSync(join(broken, 'cuda_plugin.so'), 'no library');
    const { exitCode, stdout } = await selftest(
      'images-of-upstream',
      'round-trip-stock',
      '--upstream',
      broken,
      '--json',
    );
    expect(exitCode).toBe(1);
    const { environment, results } = JSON.parse(stdout) as SelftestResult;
    expect(results).toMatchObject([
      { name: 'round-trip-stock', status: 'passed' },
      {
        name: 'images-of-upstream',
        status: 'failed',
        reason: expect.stringContaining('cuda_plugin.so') as string,
      },
    ]);
    expect(existsSync(environment.imageStore.path)).toBe(false);
  },
);

it('notices a training that is not reproducible', { timeout: TIMEOUT_MS }, async () => {
  const source = readFileSync(join(projectRoot, 'benchmarks', 'workloads', 'training.py'), 'utf8');
  writeFileSync(join(dir, 'other.py'), source.replace('SEED = 20', 'SEED = os.getpid()'));
  const python = join(dir, 'python');
  // `-c` asks for modules; everything else is the training
  const script = `#!/bin/sh\n[ "$1" = -c ] && exec python3 "$@"\nshift; exec python3 ${dir}/other.py "$@"\n`;
  writeFileSync(python, script, { mode: 0o755 });
  const { exitCode, stdout } = await selftest('training-stock', '--python', python);
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/FAILED {2}training-stock .* the first half, before the dump, changed/);
});

it('skips what this machine lacks, with the reason', { timeout: TIMEOUT_MS }, async () => {
  const { exitCode, stdout } = await selftest('speed-up', 'training-full', '--python', '/no/python');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/skipped {2}speed-up .* no --upstream DIR/);
  expect(stdout).toMatch(/skipped {2}training-full .* cannot run \/no\/python/);
  expect(stdout).toMatch(/0 passed, 0 failed, 2 skipped/);
});

it('refuses a check that does not exist', async () => {
  const { exitCode, stderr } = await selftest('round-trip');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('"round-trip" is not a check');
  expect(stderr).toContain('round-trip-stock');
});

it('does not mistake the software driver for a GPU', async () => {
  const cli = join(projectRoot, 'dist', 'cli.js');
  const { exitCode, stderr } = await execResult(process.execPath, [cli, 'selftest'], {
    env: { CRIU_CUDA_DRIVER: softcudaLibrary() },
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('the self-test needs a GPU');
});
