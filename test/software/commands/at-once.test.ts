// SPDX-License-Identifier: MIT
// Two commands for one directory at the same moment: no program is lost, and none has another one's files.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { programFile } from '../../../lib/paths.ts';
import { isAlive, waitForExit } from '../../../lib/process/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await machine.close();
});

const typed = (...args: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [programFile, ...args], { env: machine.env });

/** One that has come first may have ended before the other looks; that is refused as well. */
const IN_USE = /is in use by another checkpoint|is not empty|is being written/;

it('two checkpoints: one is refused, and its program runs on', async () => {
  for (let round = 0; round < 5; round++) {
    const dir = join(machine.dir, `both-${round}`);
    const [one, other] = await Promise.all([machine.start(), machine.start()]);
    const sums = new Map([one, other].map((program) => [program, program.verify()]));
    await Promise.all(sums.values());
    const [run, otherRun] = await Promise.all(
      [one, other].map(({ pid }) => typed('checkpoint', String(pid), dir)),
    );
    const isFirst = run?.exitCode === 0;
    const [winner, loser] = isFirst ? [one, other] : [other, one];
    const [done, refused] = isFirst ? [run, otherRun] : [otherRun, run];
    expect(done?.exitCode, done?.stderr).toBe(0);
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(IN_USE) as string });
    expect(await loser.verify()).toBe(await sums.get(loser));
    // nothing of the other one is among the images
    expect(readdirSync(dir).filter((name) => name.includes(`-${loser.pid}.`))).toEqual([]);
    await winner.ended();
    const restored = await typed('restore', '--detach', dir);
    expect(restored.exitCode, restored.stderr).toBe(0);
    expect(await winner.verify()).toBe(await sums.get(winner));
    await machine.kill(winner.pid);
    await loser.kill();
  }
});

it('two restores: one is told who has the pids, and the program of the other runs', async () => {
  const program = await machine.start();
  const sum = await program.verify();
  const dir = join(machine.dir, 'one');
  expect((await typed('checkpoint', String(program.pid), dir)).exitCode).toBe(0);
  await program.ended();
  for (let round = 0; round < 5; round++) {
    const runs = await Promise.all([typed('restore', '--detach', dir), typed('restore', '--detach', dir)]);
    const failed = runs.filter(({ exitCode }) => exitCode !== 0);
    expect(failed, runs.map(({ stderr }) => stderr).join('\n')).toHaveLength(1);
    expect(failed[0]?.stderr).toContain(`pid ${program.pid} is in use by`);
    expect(isAlive(program.pid)).toBe(true);
    expect(await program.verify()).toBe(sum);
    await machine.kill(program.pid);
  }
});

it('a checkpoint that would replace the images of a restore, or of another checkpoint: refused', async () => {
  const [one, other] = await Promise.all([machine.start(), machine.start()]);
  const sums = await Promise.all([one.verify(), other.verify()]);
  const dir = join(machine.dir, 'one');
  expect((await typed('checkpoint', String(one.pid), dir)).exitCode).toBe(0);
  await one.ended();
  const [restored, dumped] = await Promise.all([
    typed('restore', '--detach', dir),
    typed('checkpoint', '--force', '--leave-running', String(other.pid), dir),
  ]);
  // the first one has done it; the other has changed nothing, or came when all was over
  for (const run of [restored, dumped].filter(({ exitCode }) => exitCode !== 0))
    expect(run.stderr).toMatch(/is in use by another checkpoint|is being written|pid \d+ is in use by/);
  expect([restored.exitCode, dumped.exitCode]).toContain(0);
  if (restored.exitCode === 0) expect(await one.verify()).toBe(sums[0]);
  expect(await other.verify()).toBe(sums[1]);
});

it('a checkpoint whose command is killed: criu continues, and keeps others from its directory', async () => {
  const [one, other] = await Promise.all([machine.start(), machine.start()]);
  const sums = await Promise.all([one.verify(), other.verify()]);
  const dir = join(machine.dir, 'one');
  expect((await typed('checkpoint', '--leave-running', String(one.pid), dir)).exitCode).toBe(0);
  const [criu, gate, started] = ['criu', 'gate', 'started'].map((name) => join(machine.dir, name)) as [
    string,
    string,
    string,
  ];
  await execResult('mkfifo', [gate]);
  const wait = `case " $* " in *" dump "*) echo $$ >${started}.new; mv ${started}.new ${started}; read -r _ <${gate} ;; esac`;
  writeFileSync(criu, `#!/bin/sh\n${wait}\nexec ${criuProgram()} "$@"\n`, { mode: 0o755 });
  const command = spawn(process.execPath, [programFile, 'checkpoint', '--force', String(one.pid), dir], {
    env: { ...process.env, ...machine.env, CRIU_CUDA_CRIU: criu },
    stdio: 'ignore',
  });
  await waitUntil(() => existsSync(started));
  command.kill('SIGKILL');
  await once(command, 'exit');
  const refused = await typed('checkpoint', '--force', String(other.pid), dir);
  const inUse = `${dir} is in use by another checkpoint or restore\n`; // the pid of the command says nothing any more
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(inUse) as string });
  expect(await other.verify()).toBe(sums[1]);
  writeFileSync(gate, '\n');
  await waitForExit(Number(readFileSync(started, 'utf8')));
  await one.ended();
  const restored = await typed('restore', '--detach', dir);
  expect(restored.exitCode, restored.stderr).toBe(0);
  expect(await one.verify()).toBe(sums[0]);
});
