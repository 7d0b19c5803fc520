// SPDX-License-Identifier: MIT
/** An image of workload-pattern and the libraries it needs, made of this machine's own files. */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { exec, execResult } from '../../lib/exec.ts';
import { builtProgram, interceptorLibrary, softcudaLibrary } from '../../lib/paths.ts';
import { findOnPath } from '../../lib/setup/index.ts';

const searchPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** Why containers cannot be tested here; `undefined` when they can. */
export async function whyNoContainers(): Promise<string | undefined> {
  for (const name of ['podman', 'runc']) {
    if (findOnPath(name, searchPath) === undefined) return `${name} is not installed`;
  }
  const { exitCode, stderr } = await execResult('podman', ['info']).catch((error: unknown) => ({
    exitCode: 1,
    stderr: String(error),
  }));
  return exitCode === 0 ? undefined : `podman does not work here: ${stderr.trim()}`;
}

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await exec('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

/** @returns the image's name */
export async function buildPatternImage(): Promise<string> {
  const name = 'localhost/criu-cuda-test-pattern';
  const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-image-'));
  try {
    const program = builtProgram('workload-pattern');
    const users = [program, softcudaLibrary(), interceptorLibrary()];
    const libraries = new Set((await Promise.all(users.map(librariesOf))).flat());
    for (const library of libraries) {
      mkdirSync(join(dir, 'root', dirname(library)), { recursive: true });
      cpSync(realpathSync(library), join(dir, 'root', library));
    }
    mkdirSync(join(dir, 'root', 'bin'), { recursive: true });
    cpSync(program, join(dir, 'root', 'bin', 'workload-pattern'));
    writeFileSync(join(dir, 'Containerfile'), 'FROM scratch\nCOPY root /\n');
    await exec('podman', ['build', '--quiet', '--tag', name, '--file', join(dir, 'Containerfile'), dir]);
    return name;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A port nobody listens at, at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
