// SPDX-License-Identifier: MIT
/** Which containers prune removes, with a program in place of podman that has three of ours. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { pruneContainers } from '../../../lib/container/index.ts';
import { main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

let dir: string;
const names = ['done', 'golden', 'serving'];

const container = (name: string) => ({
  Id: name,
  Name: name,
  State: { Running: name === 'serving', Pid: name === 'serving' ? 1 : 0 },
  Config: { Labels: { 'criu-cuda.libdir': '/lib' } },
  StaticDir: join(dir, name),
});

/** The calls of podman, one line each. */
const calls = (): string[] => readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n');

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-prune-'));
  for (const name of names) {
    mkdirSync(join(dir, name, ...(name === 'golden' ? ['checkpoint'] : [])), { recursive: true });
    writeFileSync(join(dir, `${name}.json`), JSON.stringify([container(name)]));
  }
  const podman = join(dir, 'podman');
  writeFileSync(
    podman,
    `#!/bin/sh
echo "$*" >> ${dir}/calls
case "$1" in
ps) printf '%s\\n' ${names.join(' ')} ;;
container) cat "${dir}/$3.json" ;;
esac
`,
  );
  chmodSync(podman, 0o755);
  vi.stubEnv('PATH', `${dir}${delimiter}${process.env.PATH ?? ''}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

it('removes what neither runs nor has a checkpoint, and asks podman for ours only', async () => {
  expect(await pruneContainers()).toEqual({
    removed: ['done'],
    running: ['serving'],
    checkpointed: ['golden'],
  });
  expect(calls()[0]).toBe('ps --all --quiet --no-trunc --filter label=criu-cuda.libdir');
  expect(calls().filter((call) => call.startsWith('rm'))).toEqual(['rm --force --ignore --time 0 done']);
});

it('removes checkpoints only when asked to, and nothing in a dry run', async () => {
  expect(await pruneContainers({ all: true, dryRun: true })).toMatchObject({ removed: ['done', 'golden'] });
  expect(calls().filter((call) => call.startsWith('rm'))).toEqual([]);
  expect(await pruneContainers({ all: true })).toMatchObject({
    removed: ['done', 'golden'],
    checkpointed: [],
  });
});

it('says what it leaves, and why', async () => {
  const { io, stdout } = captureIo();
  expect(await main(['container', 'prune', '--dry-run'], io)).toBe(0);
  expect(stdout().split('\n')).toEqual([
    'would remove done',
    'left, it runs: serving',
    'left, it has a checkpoint (--all removes it): golden',
    '',
  ]);
});
