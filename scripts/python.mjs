// SPDX-License-Identifier: MIT
// Programs from Python packages of exact versions. scripts/python/NAME.txt is installed once in a virtual environment
// below node_modules/.cache, never in the system.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a program silently. Throws an Error with the end of its output when it fails. */
function run(file, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (status === 0) return;
  const output = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-12).join('\n');
  throw new Error(`${file} ${args.join(' ')} failed:\n${error ? error.message : output}`);
}

function hasVenv() {
  return spawnSync('python3', ['-c', 'import venv, ensurepip'], { stdio: 'ignore' }).status === 0;
}

/** Debian has the modules for virtual environments in a separate package. */
function needVenv() {
  if (hasVenv()) return;
  const apt = spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0;
  if (process.getuid() !== 0 || !apt) {
    throw new Error('python3 with the module venv is missing; on Debian: apt-get install python3-venv');
  }
  const options = ['--quiet', '--yes', '--option=DPkg::Lock::Timeout=300'];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', [...options, 'update'], env);
  run('apt-get', [...options, 'install', '--no-install-recommends', 'python3-venv'], env);
}

/**
 * Directory of the virtual environment with the packages of scripts/python/NAME.txt, created if it is missing, was
 * created for other versions, or was copied from elsewhere (its programs contain the path of the directory they were
 * installed in).
 */
export function pythonEnvironment(name) {
  const wanted = readFileSync(join(root, 'scripts/python', `${name}.txt`), 'utf8');
  const dir = join(root, 'node_modules/.cache/criu-cuda', name);
  const marker = join(dir, 'complete.txt');
  const complete = `${dir}\n${wanted}`;
  if (existsSync(marker) && readFileSync(marker, 'utf8') === complete) return dir;
  needVenv();
  console.error(`installing scripts/python/${name}.txt …`);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dirname(dir), { recursive: true });
  run('python3', ['-m', 'venv', dir]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  run(join(dir, 'bin/python'), [...pip, '--requirement', join(root, 'scripts/python', `${name}.txt`)]);
  writeFileSync(marker, complete);
  return dir;
}

/** NVIDIA's tools and headers as a CUDA_HOME. */
export function cudaToolkit() {
  const lib = join(pythonEnvironment('cuda'), 'lib');
  const python = readdirSync(lib).find((entry) => entry.startsWith('python'));
  return join(lib, python, 'site-packages/nvidia/cu13');
}
