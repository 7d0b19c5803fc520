// SPDX-License-Identifier: MIT
/** A container image with workload-pattern and the libraries it needs, made from files of this machine. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limitFlags } from '../../lib/container/index.ts';
import { exec, execResult } from '../../lib/exec.ts';
import { findOnPath } from '../../lib/machine/index.ts';
import { makeRootfs } from './engine/image.ts';

const searchPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** Builds an image from the files that a function writes below a directory. @returns its name */
export async function buildImage(name: string, writeRoot: (root: string) => Promise<void>): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-image-'));
  try {
    await writeRoot(join(dir, 'root'));
    writeFileSync(join(dir, 'Containerfile'), 'FROM scratch\nCOPY root /\n');
    await exec('podman', ['build', '--quiet', '--tag', name, '--file', join(dir, 'Containerfile'), dir]);
    return name;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What tests with containers need, or why they cannot run here. */
export type Containers = { image: string; reason?: never } | { image?: never; reason: string };

/** podman's exit code for its own failures; a container's program has its own. */
const PODMAN_FAILED = 125;

/** Builds the image and starts it once. */
export async function prepareContainers(): Promise<Containers> {
  for (const name of ['podman', 'runc']) {
    if (findOnPath(name, searchPath) === undefined)
      return { reason: `${name} is not installed: criu-cuda container setup` };
  }
  const image = await buildImage('localhost/criu-cuda-test-pattern', makeRootfs);
  const limits = limitFlags(
    readFileSync('/proc/self/status', 'utf8'),
    readFileSync('/proc/self/limits', 'utf8'),
    Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')),
  );
  const args = ['--runtime', 'runc', 'run', '--rm', '--network', 'host', ...limits];
  const { exitCode, stderr } = await execResult('podman', [
    ...args,
    image,
    '/bin/workload-pattern',
    '--help',
  ]);
  return exitCode >= PODMAN_FAILED
    ? { reason: `podman cannot start a container here: ${stderr.trim()}` }
    : { image };
}

/** A port that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('cannot find a free port');
  return address.port;
}
