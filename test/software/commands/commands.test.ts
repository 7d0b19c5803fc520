// SPDX-License-Identifier: MIT
/** The commands checkpoint, restore, process and demo, from their arguments to exit code and output. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InterruptedError } from '../../../lib/errors.ts';
import { createIo } from '../../../lib/output.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { killTree, readStat, waitForExit } from '../../../lib/process/index.ts';
import { main } from '../../../lib/program.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { hasStorage } from '../../helpers/driver.ts';
import { pageFiles } from '../../helpers/host-memory.ts';
import { Machine } from '../../helpers/machine.ts';

const NOT_PERMITTED = 800;

let machine: Machine;
let workload: Workload;
let checksum: string;

beforeEach(async () => {
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  workload = await machine.start();
  checksum = await workload.verify();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** Runs one command line in this process. */
const cli = (...words: (string | number)[]): Promise<Outcome> =>
  cliUntil(new AbortController().signal, ...words);

async function cliUntil(signal: AbortSignal, ...words: (string | number)[]): Promise<Outcome> {
  let [out, err] = ['', ''];
  const argv = words.map(String);
  const io = createIo({
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    json: argv.includes('--json'),
    signal,
    color: false,
  });
  const code = await main(argv, io);
  return { code, out, err };
}

interface Report {
  durationMs: number;
  phases: { part: string; name: string; durationMs: number }[];
  tasks: { pid: number; outcome: string; prior: string }[];
}

interface Failure {
  error: { code: string; message: string; tasks: { outcome: string; reason?: string }[] };
}

async function dump(...more: string[]): Promise<void> {
  const { code, err } = await cli(
    'checkpoint',
    '--pid',
    workload.pid,
    '--images-dir',
    machine.imagesDir,
    ...more,
  );
  expect(code, err).toBe(0);
}

describe('checkpoint and restore', () => {
  it('restore device memory and account for the time', async () => {
    const { pid } = workload;
    const dumped = await cli('checkpoint', '--pid', pid, '--images-dir', machine.imagesDir, '--json');
    expect(dumped.code, dumped.out).toBe(0);
    const checkpoint = JSON.parse(dumped.out) as Report;
    expect(checkpoint.tasks).toEqual([{ pid, outcome: 'dumped', prior: 'running' }]);
    expect(checkpoint.phases.map((phase) => `${phase.part} ${phase.name}`)).toEqual(
      expect.arrayContaining(['driver lock', 'driver checkpoint', 'plugin hooks', 'criu rest']),
    );
    const back = await cli('restore', '--images-dir', machine.imagesDir, '--detach', '--json');
    expect(back.code, back.out).toBe(0);
    const restore = JSON.parse(back.out) as Report;
    expect(restore.tasks).toEqual([{ pid, outcome: 'restored', prior: 'checkpointed' }]);
    for (const report of [checkpoint, restore]) {
      const sum = report.phases.reduce((all, phase) => all + phase.durationMs, 0);
      expect(sum).toBeCloseTo(report.durationMs, 3);
    }
    expect(await workload.verify()).toBe(checksum);
    expect(readdirSync(machine.runDir)).toEqual(['history']);
  });

  it('leave a process stopped, and wake it', async () => {
    await dump('--variant', 'parallel');
    const images = ['--images-dir', machine.imagesDir, '--variant', 'parallel'];
    const back = await cli('restore', ...images, '--leave-stopped', '--detach');
    expect(back.out, back.err).toContain(`it is stopped; to wake it: criu-cuda wake ${workload.pid}`);
    expect(readStat(workload.pid)?.state).toBe('T');
    const woken = await cli('wake', '--pid', workload.pid, '--json');
    expect(JSON.parse(woken.out)).toMatchObject({ pid: workload.pid, pids: [workload.pid] });
    expect(await workload.verify()).toBe(checksum);
    const again = await cli('wake', '--pid', workload.pid);
    expect(again).toMatchObject({ code: 0, out: `no process in tree ${workload.pid} was stopped\n` });
    await workload.kill();
    const gone = await cli('wake', '--pid', workload.pid);
    expect(gone.code).toBe(2);
    expect(gone.err).toContain(`there is no process ${workload.pid}`);
  });

  it('refuse a missing page file before criu is started', async () => {
    const images = ['--images-dir', machine.imagesDir];
    const dumped = await cli('checkpoint', '--pid', workload.pid, ...images, '--variant', 'remap', '--json');
    expect(dumped.code, dumped.out).toBe(0);
    const { phases } = JSON.parse(dumped.out) as Report;
    expect(phases.find(({ name }) => name === 'host memory')?.durationMs).toBeGreaterThan(0);
    const shown = await cli('image', 'show', machine.imagesDir);
    expect(shown.out).toContain(`cuda-host-${workload.pid}.img  pid ${workload.pid}, host memory`);
    expect((await cli('image', 'verify', machine.imagesDir)).out).toContain(
      `cuda-host-${workload.pid}.img: ok`,
    );
    const [file = ''] = pageFiles(machine.imagesDir);
    renameSync(file, `${file}.away`);
    const refused = await cli('restore', ...images, '--variant', 'remap', '--detach');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`${basename(file)}: missing; cuda-host-${workload.pid}.img says`);
    expect(existsSync(join(machine.imagesDir, 'restore.log'))).toBe(false);
    expect((await cli('image', 'verify', machine.imagesDir)).code).toBe(1);
    renameSync(`${file}.away`, file);
    const back = await cli('restore', ...images, '--variant', 'remap', '--detach');
    expect(back.code, back.err).toBe(0);
    expect(await workload.verify()).toBe(checksum);
  });

  it('replace the images from which the process was restored and whose page files it maps', async () => {
    await dump('--variant', 'remap');
    const back = ['restore', '--images-dir', machine.imagesDir, '--variant', 'remap', '--detach'];
    expect((await cli(...back)).code).toBe(0);
    expect(await workload.ask('fill 7')).toBe('ok');
    const filled = await workload.verify();
    expect(filled).not.toBe(checksum);
    await dump('--variant', 'remap', '--force');
    await waitForExit(workload.pid);
    expect(readdirSync(machine.imagesDir).filter((name) => !/\.(img|log|json)$|^stats-/.test(name))).toEqual(
      [],
    );
    const again = await cli(...back);
    expect(again.code, again.err).toBe(0);
    expect(await workload.verify()).toBe(filled);
  });

  it('print a table for people', async () => {
    const { code, out } = await cli(
      ...['checkpoint', '--pid', workload.pid, '--images-dir', machine.imagesDir, '--leave-running'],
    );
    expect(code).toBe(0);
    expect(out).toMatch(/CUDA processes: 1\n.*driver: lock +[\d.]+ ms\n/);
    expect(out).toMatch(/total +[\d.]+ m?s\nplugin: full [\d.]+, \/.*cuda_plugin\.so\n/);
    const path = hasStorage ? 'pool 28 MiB from the driver by the helper' : 'driver 28 MiB';
    expect(out).toContain(`\nmemory of ${workload.pid}: ${path}`);
    expect(out).toMatch(/page file .*\nthe process was paused for [\d.]+ m?s\nit is running\n$/);
    expect(await workload.verify()).toBe(checksum);
  });

  it('pass options after -- to criu', async () => {
    const { code, err } = await cli(
      ...['checkpoint', '--pid', workload.pid, '--images-dir', machine.imagesDir, '--', '--no-such-option'],
    );
    expect(code).toBe(1);
    expect(err).toContain('no-such-option');
    expect(await workload.verify()).toBe(checksum);
  });
});

describe('a failed checkpoint', () => {
  it.each([
    ['Lock', 'lock'],
    ['Checkpoint', 'checkpoint'],
  ])('in cu…%s names the step, and the application keeps running', async (call, step) => {
    vi.stubEnv('SOFTCUDA_FAIL', `cuCheckpointProcess${call}:1:${NOT_PERMITTED}`);
    const { code, err } = await cli('checkpoint', '--pid', workload.pid, '--images-dir', machine.imagesDir);
    vi.stubEnv('SOFTCUDA_FAIL', undefined);
    expect(code).toBe(1);
    expect(err).toContain(`driver's ${step} of ${workload.pid}: CUDA_ERROR_NOT_PERMITTED (800)`);
    expect(await workload.verify()).toBe(checksum);
    expect(existsSync(join(machine.imagesDir, 'inventory.img'))).toBe(false);
    await dump();
  });

  it('by a lock timeout says which setting to raise', async () => {
    vi.stubEnv('CRIU_CUDA_LOCK_TIMEOUT_MS', '50');
    await workload.ask('spin start');
    const { code, out } = await cli(
      'checkpoint',
      '--pid',
      workload.pid,
      '--images-dir',
      machine.imagesDir,
      '--json',
    );
    expect(code).toBe(1);
    expect((JSON.parse(out) as Failure).error.message).toContain('CUDA_ERROR_NOT_READY');
    await workload.ask('spin stop');
    expect(await workload.verify()).toBe(checksum);
  });

  it('by a setting out of range comes before anything is done', async () => {
    vi.stubEnv('CRIU_CUDA_LOCK_TIMEOUT_MS', '0');
    const { code, err } = await cli('checkpoint', '--pid', workload.pid, '--images-dir', machine.imagesDir);
    expect(code).toBe(2);
    expect(err).toContain('CRIU_CUDA_LOCK_TIMEOUT_MS is "0"');
    expect(readdirSync(machine.imagesDir)).toEqual([]);
  });
});

describe('a failed device restore', () => {
  it.each([
    ['Restore', 'restore'],
    ['Unlock', 'unlock'],
  ])('in cu…%s is an error with pid, step and reason, and nothing runs', async (call, step) => {
    const { pid } = workload;
    await dump();
    vi.stubEnv('SOFTCUDA_FAIL', `cuCheckpointProcess${call}:1:${NOT_PERMITTED}`);
    const { code, out } = await cli('restore', '--images-dir', machine.imagesDir, '--json');
    vi.stubEnv('SOFTCUDA_FAIL', undefined);
    expect(code).toBe(1);
    const { error } = JSON.parse(out) as Failure;
    expect(error.code).toBe('ERR_RESTORE_DEVICE');
    const by = hasStorage && step === 'restore' ? `cuCheckpointProcessRestore of process ${pid}: ` : '';
    expect(error.message).toContain(
      `cannot restore device memory of ${pid}: ${step}: ${by}CUDA_ERROR_NOT_PERMITTED (800)`,
    );
    expect(error.tasks).toMatchObject([{ outcome: 'failed' }]);
    expect(readStat(pid)).toBeUndefined();
    expect((await cli('restore', '--images-dir', machine.imagesDir, '--detach')).code).toBe(0);
    expect(await workload.verify()).toBe(checksum);
  });

  it('without a driver says so', async () => {
    await dump();
    vi.stubEnv('CRIU_CUDA_DRIVER', '/no/such/libcuda.so.1');
    const { code, err } = await cli('restore', '--images-dir', machine.imagesDir);
    expect(code).toBe(1);
    expect(err).toMatch(/CRIU_CUDA_DRIVER "\/no\/such\/libcuda\.so\.1" cannot be opened/);
    expect(err).toContain('criu-cuda doctor');
    expect(readStat(workload.pid)).toBeUndefined();
  });
});

describe('process', () => {
  it('unlocks a process whose lock succeeds after an interruption', async () => {
    const stop = new AbortController();
    expect(await workload.ask('spin start')).toBe('ok');
    const lock = cliUntil(stop.signal, 'process', 'lock', '--pid', workload.pid, '--timeout-ms', 0);
    stop.abort(new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT'));
    expect(await workload.ask('spin stop')).toBe('ok');
    expect(await lock).toMatchObject({ code: 1, out: '', err: 'criu-cuda: interrupted by SIGINT\n' });
    expect(await machine.state(workload.pid)).toBe('running');
    expect(await workload.verify()).toBe(checksum);
  });

  it('runs the steps and shows the state', async () => {
    const state = async (): Promise<string> =>
      (await cli('process', 'state', '--pid', workload.pid)).out.trim();
    expect(await state()).toBe('running');
    const states = { lock: 'locked', checkpoint: 'checkpointed', restore: 'locked', unlock: 'running' };
    for (const [step, after] of Object.entries(states)) {
      const { code, out } = await cli('process', step, '--pid', workload.pid);
      expect([code, out]).toEqual([0, expect.stringMatching(`^${step} of ${workload.pid}: [\\d.]+ m?s\n$`)]);
      expect(await state()).toBe(after);
    }
    const { out } = await cli('process', 'restore-tid', '--pid', workload.pid, '--json');
    const { restoreTid } = JSON.parse(out) as { restoreTid: number };
    expect(existsSync(`/proc/${workload.pid}/task/${restoreTid}`)).toBe(true);
    expect(await workload.verify()).toBe(checksum);
  });

  it('shows the memory of a process', async () => {
    const { out } = await cli('process', 'memory', '--pid', workload.pid, '--json');
    const map = JSON.parse(out) as { residentBytes: number; pages: { presentBytes: number } };
    expect(map.pages.presentBytes).toBe(map.residentBytes);
    expect((await cli('process', 'memory', '--pid', workload.pid)).out).toMatch(/^private anonymous +\d+ /m);
    expect(await cli('process', 'memory', '--pid', 2 ** 22)).toMatchObject({ code: 2 });
  });

  it('distinguishes wrong use from a failed step', async () => {
    expect(await cli('process', 'lock', '--pid', 'x')).toMatchObject({ code: 2 });
    const failed = await cli('process', 'unlock', '--pid', workload.pid);
    expect(failed).toMatchObject({
      code: 1,
      err: expect.stringContaining('CUDA_ERROR_ILLEGAL_STATE') as string,
    });
  });
});

describe('a restore that stays', () => {
  const program = join(projectRoot, 'dist', 'cli.js');

  /** The real program, once it has reported that the process is restored. */
  async function start(): Promise<{ child: ChildProcess; ended: Promise<unknown[]> }> {
    const child = spawn(process.execPath, [program, 'restore', '--images-dir', machine.imagesDir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    for await (const line of createInterface({ input: child.stdout })) if (line.startsWith('restored')) break;
    child.stdout.resume();
    return { child, ended };
  }

  it('exits with the code of the restored process', async () => {
    await dump();
    const { ended } = await start();
    expect(await workload.verify()).toBe(checksum);
    process.kill(workload.pid, 'SIGTERM');
    expect(await ended).toEqual([143, null]);
    expect(readStat(workload.pid)).toBeUndefined();
  });

  it('ends the restored process when it is interrupted', async () => {
    await dump();
    const { child, ended } = await start();
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(readStat(workload.pid)).toBeUndefined();
    await killTree(workload.pid);
  });
});
