// SPDX-License-Identifier: MIT
// A program that was started in a terminal, restored where there is none, and then again in one.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, readStat, waitUntilCollected } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/reaching_out.py');
const cliPath = join(projectRoot, 'dist/cli.js');

let machine: Machine;
let pid: number;
let port: number;
const children: ChildProcess[] = [];
beforeEach(() => {
  machine = new Machine();
  pid = 0;
});
afterEach(async () => {
  if (pid !== 0) await machine.kill(pid);
  for (const one of children.splice(0)) one.kill('SIGKILL');
  await machine.close();
});

/** Runs a shell command in a terminal of its own; what it prints is in the file `name`. */
function inTerminal(command: string, name: string): ChildProcess {
  writeFileSync(join(machine.dir, name), '');
  const child = spawn('script', ['--quiet', '--flush', '--command', command, join(machine.dir, name)], {
    stdio: 'ignore',
    env: { ...process.env, ...machine.env },
  });
  children.push(child);
  return child;
}

const text = (name: string): string => readFileSync(join(machine.dir, name), 'utf8');
const cli = (...args: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [cliPath, ...args], { env: machine.env });

async function ask(line: string): Promise<unknown> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${line}\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return JSON.parse(answer.toString());
}

const standard = (): string[] => [0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));

/** Starts the server in a terminal and dumps it. */
async function dumpFromTerminal(python: string): Promise<void> {
  inTerminal(`${python} ${program} ${machine.dir}; sleep 1000`, 'first');
  const [, printed, at] = await waitUntil(() => /pid (\d+) port (\d+)/.exec(text('first')));
  [pid, port] = [Number(printed), Number(at)];
  expect(readStat(pid)?.terminal).not.toBe(0);
  expect(standard()).toEqual(Array(3).fill(terminal));
  const dumped = await cli('checkpoint', String(pid), machine.imagesDir);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  await waitUntilCollected(pid, 20_000);
}

const terminal: unknown = expect.stringMatching(/^\/dev\/pts\/\d+$/);

/** Restores it without a terminal. */
async function restoreWithout(): Promise<void> {
  const log = join(machine.dir, 'log');
  const restored = await cli('restore', machine.imagesDir, '--detach', '--log', log);
  expect(restored.exitCode, restored.stderr).toBe(0);
  expect(restored.stderr).toContain('the program had a terminal, and this command has none');
  expect(standard()).toEqual(['/dev/null', log, log]);
  expect(await ask('without')).toMatchObject({ inner: '1', deleted: true });
  await waitFor(() => {
    expect(text('log')).toContain('asked without');
  });
}

it('that led the session of the terminal; its images stay as they were', async () => {
  await dumpFromTerminal('exec python3');
  const images = (): string[] =>
    readdirSync(machine.imagesDir).filter((name) => !/\.log$|^stats-/.test(name));
  const checksums = (): string[] =>
    images().map((name) =>
      createHash('sha256')
        .update(readFileSync(join(machine.imagesDir, name)))
        .digest('hex'),
    );
  const [names, before] = [images(), checksums()];

  await restoreWithout();
  await machine.kill(pid);
  expect(images()).toEqual(names);
  expect(checksums()).toEqual(before);

  inTerminal(`${process.execPath} ${cliPath} restore ${machine.imagesDir}`, 'again');
  await waitUntil(() => isAlive(pid));
  expect(await waitFor(() => ask('within'))).toMatchObject({ inner: '1', deleted: true });
  await waitFor(() => {
    expect(text('again')).toContain('asked within');
  });
  expect(standard()).toEqual(Array(3).fill(terminal));
});

it("that belonged to a shell's session", async () => {
  await dumpFromTerminal('python3');
  await restoreWithout();
});

it('leaves nothing beside its images when a second signal ends the restore', async () => {
  await dumpFromTerminal('exec python3');
  // everything is restored then, and waits for criu
  const interruptions = `ls -d ${machine.imagesDir}/*/ > ${machine.dir}/seen; kill -HUP $COMMAND; kill -TERM $COMMAND; sleep 60`;
  const restore = `exec ${process.execPath} ${cliPath} restore --post-restore '${interruptions}' ${machine.imagesDir}`;
  const child = spawn('sh', ['-c', `export COMMAND=$$; ${restore}`], {
    env: { ...process.env, ...machine.env },
    stdio: 'ignore',
  });
  children.push(child);
  const [code] = (await once(child, 'exit')) as [unknown];
  expect([129, 143]).toContain(code);
  expect(text('seen')).toContain('criu-cuda-no-terminal-');
  expect(readdirSync(machine.imagesDir).filter((name) => name.includes('no-terminal'))).toEqual([]);
});
