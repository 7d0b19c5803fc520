// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { findCriu } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { waitUntilCollected, waitForExit } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';
import type { Workload } from '../../../lib/workload/index.ts';

const cli = join(projectRoot, 'dist/cli.js');

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

/** The helpers that load this images directory, and have not ended. */
function helpers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const [, option, dir] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return option === '--early' && dir === machine.imagesDir;
      } catch {
        return false; // it has just ended
      }
    });
}

const endOfHelper = (): Promise<boolean> => waitUntil(() => helpers().length === 0);

/** @returns what the program's device memory has */
async function checkpoint(workload: Workload, ...words: string[]): Promise<string> {
  const before = await snapshot(workload);
  const { exitCode, stderr } = await run('checkpoint', String(workload.pid), machine.imagesDir, ...words);
  expect(exitCode, stderr).toBe(0);
  return before;
}

const run = (...words: string[]): ReturnType<typeof execResult> =>
  execResult(process.execPath, [cli, ...words], { env: machine.env });

/** A program that waits until {@link release} and then is criu. */
async function slowCriu(): Promise<{ criu: string; release: () => Promise<void> }> {
  const { criu: real } = await findCriu();
  const gate = join(machine.dir, 'gate');
  const criu = join(machine.dir, 'slow-criu');
  await execResult('mkfifo', [gate]);
  writeFileSync(
    criu,
    `#!/bin/sh\ncase "$*" in *--pidfile*) read -r _ <${gate} ;; esac\nexec ${real?.path ?? ''} "$@"\n`,
    { mode: 0o755 },
  );
  return {
    criu,
    release: async () => {
      const file = await open(gate, 'w');
      await file.write('\n');
      await file.close();
    },
  };
}

/** A criu action script that ends the helper at one action. */
function killAt(action: string): string {
  const script = join(machine.dir, 'kill.sh');
  const lines = [
    `[ "$CRTOOLS_SCRIPT_ACTION" = ${action} ] || exit 0`,
    'kill -KILL "$CRIU_CUDA_EARLY_HELPER"',
  ];
  writeFileSync(script, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  return script;
}

it('leaves nothing when the restore is refused', async () => {
  const workload = await machine.startIntercepted();
  await checkpoint(workload, '--leave-running');
  const before = await snapshot(workload);
  const refused = await run('restore', machine.imagesDir, '--detach');
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stderr).toContain(`pid ${workload.pid} is in use`);
  await endOfHelper();
  expect(await snapshot(workload)).toBe(before);
});

it('ends when the command is killed before criu runs', async () => {
  const workload = await machine.startIntercepted();
  await checkpoint(workload);
  await workload.ended();
  const { criu } = await slowCriu();
  const command = spawn(process.execPath, [cli, 'restore', machine.imagesDir, '--detach'], {
    env: { ...process.env, ...machine.env, CRIU_CUDA_CRIU: criu },
    stdio: 'ignore',
  });
  await waitUntil(() => helpers().length === 1);
  command.kill('SIGKILL');
  await endOfHelper();
});

it('does not restore what it has loaded from images that were replaced', async () => {
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  await workload.ended();
  await waitForExit(workload.pid);
  await waitUntilCollected(workload.pid, 5000);
  const { criu, release } = await slowCriu();
  const restored = execResult(process.execPath, [cli, 'restore', machine.imagesDir, '--detach'], {
    env: { ...machine.env, CRIU_CUDA_CRIU: criu },
  });
  await waitUntil(() => helpers().length === 1);
  const [helper = 0] = helpers();
  for (const name of [...machine.manifests(), ...machine.stripes()]) {
    const path = join(machine.imagesDir, name);
    copyFileSync(path, `${path}.copy`);
    renameSync(`${path}.copy`, path);
  }
  await release();
  const { exitCode, stderr } = await restored;
  expect(exitCode, stderr).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  const log = readFileSync(join(machine.imagesDir, 'restore.log'), 'utf8');
  expect(log).toContain(`${helper}, started before criu, serves this run`);
  await endOfHelper();
});

it.each(['pre-restore', 'setup-namespaces', 'pre-resume', 'post-resume'])(
  'when the helper is killed at %s, another one gives the memory back',
  async (action) => {
    const workload = await machine.startIntercepted();
    const before = await checkpoint(workload);
    await workload.ended();
    await waitUntilCollected(workload.pid, 5000);
    const words = ['restore', machine.imagesDir, '--detach', '--', '--action-script', killAt(action)];
    const { exitCode, stderr } = await run(...words);
    expect(exitCode, stderr).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    expect(readFileSync(join(machine.imagesDir, 'restore.log'), 'utf8')).toContain('serves this run');
    await endOfHelper();
  },
);

it.each([
  ['is not a number', () => 'x', 'Invalid argument'],
  ['is of another program', () => String(process.pid), 'No such process'],
  ['has ended', () => '4194303', 'No such process'],
])('a helper whose pid %s is left alone', async (_, pid, why) => {
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  await workload.ended();
  await waitUntilCollected(workload.pid, 5000);
  const plugin = machine.restore({ libdir: variantDir('full'), env: { CRIU_CUDA_EARLY_HELPER: pid() } });
  const { exitCode, log } = await plugin;
  expect(exitCode, log.slice(-2000)).toBe(0);
  expect(log).toContain(`the helper of CRIU_CUDA_EARLY_HELPER=${pid()} is not used: ${why}`);
  expect(await snapshot(workload)).toBe(before);
});

it('is not begun beside a daemon, which is asked instead', async () => {
  await machine.startPool();
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  await workload.ended();
  await waitUntilCollected(workload.pid, 5000);
  const { exitCode, stderr } = await run('restore', machine.imagesDir, '--detach');
  expect(exitCode, stderr).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  const log = readFileSync(join(machine.imagesDir, 'restore.log'), 'utf8');
  expect(log).toContain('connected to the daemon');
  expect(log).not.toContain('started before criu');
});
