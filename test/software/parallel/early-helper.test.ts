// SPDX-License-Identifier: MIT
// A checkpoint starts the pool's helper before criu. It serves the dump, or ends with the command.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { findCriu } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { waitUntilCollected } from '../../../lib/process/index.ts';
import { ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';

const cli = join(projectRoot, 'dist/cli.js');
const begun = /\d+, started before criu, serves this run/;

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

const run = (...words: string[]): ReturnType<typeof execResult> =>
  execResult(process.execPath, [cli, ...words], { env: machine.env });

/** The helpers of this machine that nobody has taken over, or that still serve. */
const helpers = (): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words[1] === '--early' && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(machine.runDir);
    } catch {
      return false; // no process, or it has just ended
    }
  });

const endOfHelpers = (): Promise<boolean> => waitUntil(() => helpers().length === 0);
const logOf = (name: string): string => readFileSync(join(machine.imagesDir, name), 'utf8');

it('serves the dump', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const dumped = await run('checkpoint', String(workload.pid), machine.imagesDir);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(logOf('dump.log')).toMatch(begun);
  await endOfHelpers();
  await workload.ended();
  await waitUntilCollected(workload.pid, 10_000);
  const restored = await run('restore', machine.imagesDir, '--detach');
  expect(restored.exitCode, restored.stderr).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('is replaced when it is killed before the plugin needs it', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const script = join(machine.dir, 'kill.sh');
  writeFileSync(
    script,
    '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = pre-dump ] && kill -KILL "$CRIU_CUDA_EARLY_HELPER"\nexit 0\n',
    { mode: 0o755 },
  );
  const words = ['checkpoint', String(workload.pid), machine.imagesDir, '--leave-running'];
  const dumped = await run(...words, '--', '--action-script', script);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(logOf('dump.log')).toMatch(/the helper of CRIU_CUDA_EARLY_HELPER=\d+ is not used/);
  expect(await snapshot(workload)).toBe(before);
  await endOfHelpers();
});

it('ends when the dump is refused', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const words = ['checkpoint', String(workload.pid), machine.imagesDir, '--', '--no-such-option'];
  const refused = await run(...words);
  expect(refused.exitCode).not.toBe(0);
  await endOfHelpers();
  expect(await snapshot(workload)).toBe(before);
});

it('ends when the command is killed before criu runs', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const criu = join(machine.dir, 'criu');
  await execResult('mkfifo', [join(machine.dir, 'gate')]);
  const { criu: real } = await findCriu();
  const wait = `case " $* " in *" dump "*) read -r _ <${join(machine.dir, 'gate')} ;; esac`;
  writeFileSync(criu, `#!/bin/sh\n${wait}\nexec ${real?.path ?? ''} "$@"\n`, { mode: 0o755 });
  const words = ['checkpoint', String(workload.pid), machine.imagesDir];
  const command = spawn(process.execPath, [cli, ...words], {
    env: { ...process.env, ...machine.env, CRIU_CUDA_CRIU: criu },
    stdio: 'ignore',
  });
  await waitUntil(() => helpers().length === 1);
  command.kill('SIGKILL');
  await endOfHelpers();
  expect(await snapshot(workload)).toBe(before);
});

it('is not started for a program without the interceptor', async () => {
  const workload = await machine.start();
  const words = ['checkpoint', String(workload.pid), machine.imagesDir, '--leave-running'];
  const { exitCode, stderr } = await run(...words, '--variant', 'parallel');
  expect(exitCode, stderr).toBe(0);
  expect(logOf('dump.log')).not.toContain('before criu');
});

it('is not started beside a daemon, which is asked instead', async () => {
  await machine.startPool();
  const workload = await machine.startIntercepted();
  const words = ['checkpoint', String(workload.pid), machine.imagesDir, '--leave-running'];
  const { exitCode, stderr } = await run(...words);
  expect(exitCode, stderr).toBe(0);
  expect(logOf('dump.log')).toContain('connected to the daemon');
  expect(logOf('dump.log')).not.toContain('before criu');
});
