// SPDX-License-Identifier: MIT
/** What a person may name as the target of a checkpoint. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { createContainer, removeContainer, requireContainer } from '../../../lib/container/index.ts';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { isAlive, killTree, readProcessTree, readStat } from '../../../lib/process/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { freePort, prepareContainers } from '../../helpers/container.ts';
import { Machine } from '../../helpers/machine.ts';
import { targets } from '../../helpers/same-program.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const cliWords = [process.execPath, join(projectRoot, 'dist', 'cli.js')];
let machine: Machine;
let socketPath: string;
let program: string[];
const children: ChildProcess[] = [];

beforeEach(() => {
  machine = new Machine();
  socketPath = join(machine.dir, 'w.sock');
  program = [builtProgram('workload-pattern'), '--alloc', '4M', '--socket', socketPath];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) if (child.pid !== undefined) await killTree(child.pid);
  await machine.close();
});

const cli = (...args: string[]): Promise<ExecResult> =>
  execResult(cliWords[0] ?? '', [...cliWords.slice(1), ...args], { env: machine.env });

function start(words: readonly string[]): ChildProcess {
  const [file = '', ...args] = words;
  const child = spawn(file, args, {
    stdio: 'ignore', // the program inherits it, and a pipe to the test could not be dumped
    env: { ...process.env, ...machine.env },
  });
  children.push(child);
  return child;
}

/** Starts words in a terminal, as a shell does. */
const startInTerminal = (words: readonly string[]): ChildProcess =>
  start(['script', '--quiet', '--return', '--command', words.join(' '), '/dev/null']);

const ask = async (request: string): Promise<string> => {
  await waitUntil(() => existsSync(socketPath));
  return waitFor(() => askWorkload(socketPath, request, 10_000));
};
const checksum = async (): Promise<string> => /checksum=\w+/.exec(await ask('verify'))?.[0] ?? '';
const pidOf = (status: string): number => Number(/pid=(\d+)/.exec(status)?.[1]);

it("takes the pid of criu-cuda run for its program's, and says so", async () => {
  const run = start([...cliWords, 'run', '--', ...program]);
  const pid = pidOf(await ask('status'));
  expect(pid).not.toBe(run.pid);
  const before = await checksum();

  const checked = await cli('check', '--pid', String(run.pid), '--json');
  expect(JSON.parse(checked.stdout)).toMatchObject({ refused: false, usesCuda: true });
  const where = ['--images-dir', machine.imagesDir, '--variant', 'parallel'];
  const dumped = await cli('checkpoint', '--leave-running', '--pid', String(run.pid), ...where);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(dumped.stdout).toContain(`${run.pid} is the criu-cuda that waits for ${pid}`);
  expect(dumped.stdout).toContain(`checkpoint of ${pid} in`);
  expect(readdirSync(machine.imagesDir)).toContain(`core-${pid}.img`);
  expect(await checksum()).toBe(before);
});

/** Checkpoints the program of a `criu-cuda run`. @returns its pid and the images, in a directory of their own */
async function firstCheckpoint(...options: string[]): Promise<{ pid: number; dir: string }> {
  const run = start([...cliWords, 'run', '--', ...program]);
  const pid = pidOf(await ask('status'));
  const dir = join(machine.imagesDir, 'first');
  const first = await cli('checkpoint', String(run.pid), dir, ...options);
  expect(first.exitCode, first.stderr).toBe(0);
  return { pid, dir };
}

/** Starts a restore that stays; `output` has what it says. */
function startRestore(output: string, ...words: string[]): ChildProcess {
  writeFileSync(output, '');
  return start(['sh', '-c', `exec "$0" "$@" >> ${output} 2>&1`, ...cliWords, 'restore', ...words]);
}

/** Waits until a restore says that it is done. @returns the pid of its program */
const restoredPid = async (output: string): Promise<number> =>
  Number((await waitUntil(() => /^restored (\d+) /m.exec(readFileSync(output, 'utf8'))))[1]);

it("takes the pid of a waiting criu-cuda restore for its program's", async () => {
  const { pid, dir } = await firstCheckpoint();
  const output = join(machine.dir, 'output');
  const restored = startRestore(output, dir);
  expect(await restoredPid(output)).toBe(pid);
  const second = join(machine.imagesDir, 'second');
  const ended = once(restored, 'exit');
  const again = await cli('checkpoint', String(restored.pid), second);
  expect(again.exitCode, again.stderr).toBe(0);
  expect(again.stdout).toContain(`${restored.pid} is the criu-cuda that waits for ${pid}`);
  expect(await ended).toEqual([137, null]);
  expect(readdirSync(second)).toContain(`core-${pid}.img`);
});

/** Starts a command in the place of a shell that leaves it a sidecar with a session of its own. */
function startWithSidecar(words: readonly string[]): ChildProcess {
  const script = `setsid sleep 3600 & until grep -q '^[0-9]* (sleep)' /proc/$!/stat; do :; done; exec "$0" "$@"`;
  return start(['sh', '-c', script, ...words]);
}

it('takes its own program, not a sidecar that a shell has started before', async () => {
  const run = startWithSidecar([...cliWords, 'run', '--', ...program]);
  const pid = pidOf(await ask('status'));
  const dir = join(machine.imagesDir, 'first');
  const first = await cli('checkpoint', String(run.pid), dir);
  expect(first.stdout + first.stderr).toContain(`${run.pid} is the criu-cuda that waits for ${pid}`);
  expect(readdirSync(dir)).toContain(`core-${pid}.img`);

  const output = join(machine.dir, 'output');
  writeFileSync(output, '');
  const restored = startWithSidecar([
    'sh',
    '-c',
    `exec "$0" "$@" >> ${output} 2>&1`,
    ...cliWords,
    'restore',
    dir,
  ]);
  expect(await restoredPid(output)).toBe(pid);
  const sidecar = readProcessTree(restored.pid ?? 0).find(({ comm }) => comm === 'sleep');
  expect(sidecar).toMatchObject({ ppid: restored.pid, session: sidecar?.pid });
  const second = join(machine.imagesDir, 'second');
  const again = await cli('checkpoint', '--leave-running', String(restored.pid), second);
  expect(again.stdout + again.stderr).toContain(`${restored.pid} is the criu-cuda that waits for ${pid}`);
  expect(readdirSync(second)).toContain(`core-${pid}.img`);
});

it.each([{ options: [] }, { options: ['--isolated'] }])(
  'says that a restore $options has not restored its program yet, and never takes a helper for it',
  async ({ options }) => {
    const { pid, dir } = await firstCheckpoint('--variant', 'parallel');
    const output = join(machine.dir, 'output');
    const shared = mkdtempSync('/var/tmp/criu-cuda-target-'); // an isolated tree has its own /dev/shm and /tmp
    onTestFinished(() => {
      rmSync(shared, { recursive: true });
    });
    const [waits, goOn] = [join(shared, 'waits'), join(shared, 'go-on')];
    // criu and the helpers of the plugin run meanwhile
    const command = `touch ${waits}; read line < ${goOn}`;
    await exec('mkfifo', [goOn]);
    const words = ['--variant', 'parallel', '--post-restore', command, ...options];
    const restored = startRestore(output, dir, ...words);
    await waitUntil(() => existsSync(waits));
    expect(readProcessTree(restored.pid ?? 0).map(({ comm }) => comm)).toContain('cuda-pool-once');
    const second = join(machine.imagesDir, 'second');
    const early = await cli('checkpoint', '--leave-running', String(restored.pid), second);
    expect(early.exitCode, early.stdout).toBe(2);
    expect(early.stderr).toContain(
      `${restored.pid} is criu-cuda restore, which has not restored its program yet`,
    );
    expect(early.stderr).toContain('try again when the program runs');

    writeFileSync(goOn, 'now\n');
    await restoredPid(output);
    // what helps may still be there
    const late = await cli('checkpoint', '--leave-running', String(restored.pid), second);
    expect(late.exitCode, late.stderr).toBe(0);
    expect(readdirSync(second)).toContain(`core-${pid}.img`);
  },
);

it("takes it for the program's that was restored isolated", async () => {
  const { pid, dir } = await firstCheckpoint();
  const output = join(machine.dir, 'output');
  const restored = startRestore(output, '--isolated', dir);
  const root = await restoredPid(output);
  const second = join(machine.imagesDir, 'second');
  const again = await cli('checkpoint', '--leave-running', String(restored.pid), second);
  expect(again.exitCode, again.stderr).toBe(0);
  expect(again.stdout).toContain(`checkpoint of ${root} in`);
  expect(readdirSync(second)).toContain(`core-${pid}.img`);
});

it("says before a dump that it may not read the limits of another user's process", async (context) => {
  if (process.geteuid?.() !== 0) return context.skip('only root can become another user');
  const other = start(['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups', 'sleep', '3600']);
  const pid = other.pid ?? 0;
  await waitUntil(() => readStat(pid)?.comm === 'sleep');
  const without = ['--bounding-set', '-sys_resource', '--inh-caps', '-sys_resource', ...cliWords];
  for (const words of [['check'], ['checkpoint', '--images-dir', machine.imagesDir]]) {
    const refused = await execResult('setpriv', [...without, ...words, '--pid', String(pid)], {
      env: machine.env,
    });
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(`criu may not read the limits of ${pid}, which is another user's`);
  }
  expect(isAlive(pid)).toBe(true);
});

it('dumps and restores what was started in a terminal, without being asked', async () => {
  startInTerminal([...cliWords, 'run', '--', ...program]);
  const pid = pidOf(await ask('status'));
  const before = await checksum();
  expect(targets(pid).filter((path) => path.startsWith('/dev/pts/'))).not.toEqual([]);

  const where = ['--images-dir', machine.imagesDir, '--variant', 'parallel'];
  const dumped = await cli('checkpoint', '--pid', String(pid), ...where);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(readStat(pid)?.state).not.toBe('S');

  const restored = startInTerminal([...cliWords, 'restore', ...where]);
  await waitUntil(() => isAlive(pid));
  expect(await checksum()).toBe(before);
  expect(targets(pid).filter((path) => path.startsWith('/dev/pts/'))).not.toEqual([]);
  const ended = once(restored, 'exit');
  await askWorkload(socketPath, 'quit', 10_000).catch(() => undefined); // it may end before it answers
  expect(await ended).toEqual([0, null]);
});

it('answers the pid of a containerized process with the command for its container', async (context) => {
  const { image, reason } = await prepareContainers();
  if (image === undefined) return context.skip(reason);
  const name = `criu-cuda-target-${process.pid}`;
  const command = ['/bin/workload-pattern', '--alloc', '4M', '--http', String(await freePort())];
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  await createContainer({ name, image, command, gpu: 'none', variant: 'parallel' });
  try {
    const { id, pid } = await requireContainer(name);
    const refused = await cli('checkpoint', '--pid', String(pid), '--images-dir', machine.imagesDir);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(
      `${pid} is in a container of podman (${id.slice(0, 12)}), which is checkpointed as a whole`,
    );
    expect(refused.stderr).toContain(
      `criu-cuda container checkpoint ${id.slice(0, 12)} (it ends the container; --leave-running does not)`,
    );
    expect(readdirSync(machine.imagesDir)).toEqual([]);
    expect(isAlive(pid)).toBe(true);
  } finally {
    await removeContainer(name);
  }
});
