// SPDX-License-Identifier: MIT
/** Programs and images with musl run without the interceptor, and the user is told so. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import { createContainer, removeContainer } from '../../../lib/container/index.ts';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { Machine } from '../../helpers/machine.ts';
import { muslLoader, muslProgram, noMusl } from '../../helpers/musl.ts';
import { waitUntil } from '../../helpers/wait.ts';

const image = 'localhost/criu-cuda-test-musl';
const name = `criu-cuda-musl-${process.pid}`;
const line = 'a program without CUDA runs';

let machine: Machine;
let dir: string;
beforeEach((context: TestContext) => {
  if (noMusl !== undefined) context.skip(noMusl);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-musl-'));
  for (const path of [muslLoader, muslProgram]) {
    const target = join(dir, 'root', path === muslProgram ? join('bin', basename(path)) : path);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(path, target, { dereference: true });
  }
});
afterEach(async () => {
  vi.unstubAllEnvs();
  if (noMusl !== undefined) return;
  rmSync(dir, { recursive: true });
  await machine.close();
});

function cli(args: readonly string[]): Promise<ExecResult> {
  return execResult(process.execPath, [join(projectRoot, 'dist', 'cli.js'), ...args], { env: machine.env });
}

it('criu-cuda run leaves out the interceptor', async () => {
  const script = join(dir, 'script');
  writeFileSync(script, `#!${muslProgram}\n`, { mode: 0o755 });
  for (const program of [muslProgram, script]) {
    const { exitCode, stdout, stderr } = await cli(['run', '--', program]);
    expect(stderr).toContain(`${program} runs without the interceptor: its C library is musl`);
    expect(stdout).toContain(line);
    expect(exitCode).toBe(0);
  }
  const other = await cli(['run', '--', 'cat', '/proc/self/maps']);
  expect(other.stderr).not.toContain('without the interceptor');
  expect(other.stdout).toContain('libcuda_intercept');
});

it('criu-cuda cdi generate --root leaves out the interceptor', async () => {
  const { exitCode, stdout, stderr } = await cli(['cdi', 'generate', '--root', join(dir, 'root')]);
  expect(exitCode).toBe(0);
  expect(stderr).toContain('the device is without the interceptor');
  expect(stdout).not.toContain('LD_PRELOAD');
  expect((await cli(['cdi', 'generate', '--root', '/'])).stdout).toContain('LD_PRELOAD');
});

it('container create leaves out the interceptor', async (context: TestContext) => {
  const { reason } = await prepareContainers();
  if (reason !== undefined) context.skip(reason);
  writeFileSync(join(dir, 'Containerfile'), 'FROM scratch\nCOPY root /\n');
  await exec('podman', ['build', '--quiet', '--tag', image, '--file', join(dir, 'Containerfile'), dir]);
  try {
    const made = await createContainer({
      name,
      image,
      variant: 'parallel',
      gpu: 'none',
      command: [`/bin/${basename(muslProgram)}`],
      podmanArgs: ['--network=host'],
    });
    expect(made.isRunning).toBe(false); // it prints a line and ends
    expect(made.withoutInterceptor).toContain('its C library is musl');
    const env = await exec('podman', ['container', 'inspect', '--format', '{{.Config.Env}}', name]);
    expect(env.stdout).not.toContain('LD_PRELOAD');
    const logs = await waitUntil(async () => {
      const { stdout } = await exec('podman', ['logs', name]);
      return stdout.includes(line) ? stdout : undefined;
    });
    expect(logs).toContain(line);
    // the image is not left mounted
    const mounts = await exec('podman', ['image', 'mount']);
    expect(mounts.stdout).not.toContain('criu-cuda-test-musl');
  } finally {
    await removeContainer(name);
    await execResult('podman', ['image', 'rm', '--force', image]);
  }
});

it('a program preloaded by other means runs, too', async () => {
  const result = await execResult(muslProgram, [], { env: { LD_PRELOAD: interceptorLibrary() } });
  expect(result.stdout).toContain(line);
  expect(result.exitCode).toBe(0);
});
