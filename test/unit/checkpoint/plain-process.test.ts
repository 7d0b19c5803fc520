// SPDX-License-Identifier: MIT
/** checkpoint() and restore() with real CRIU on processes that do not use CUDA. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint, CheckpointError } from '../../../lib/checkpoint/index.ts';
import { readDumpStats, readInventory, readPstree, readRestoreStats } from '../../../lib/criu/index.ts';
import { InterruptedError } from '../../../lib/errors.ts';
import {
  isAlive,
  killTree,
  readChildren,
  readStat,
  readProcessTree,
  waitForExit,
} from '../../../lib/process/index.ts';
import { restore, RestoreError, type RestoredProcess } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';

const TIMEOUT_MS = 120_000;

let dir: string;
let shared: { criu: string; imagesDir: string; env: Record<string, string> };
const started: number[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-operation-'));
  shared = {
    criu: criuProgram(),
    imagesDir: join(dir, 'images'),
    env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
  };
});
afterEach(async () => {
  for (const pid of started.splice(0)) await killTree(pid);
  rmSync(dir, { recursive: true, force: true });
});

/** A shell in its own session that runs `script` until it waits for something. */
async function start(script: string): Promise<number> {
  const child = spawn('sh', ['-c', script], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd: dir,
  });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  started.push(pid);
  return pid;
}

/** A shell with a child, both ready; SIGUSR1 makes the shell end with 7. */
async function startTree(): Promise<number> {
  const ready = fileAppears('ready');
  const pid = await start('trap "exit 7" USR1; sleep 1000 & : > ready; wait');
  await ready;
  started.push(...readChildren(pid));
  return pid;
}

async function fileAppears(name: string): Promise<void> {
  const watcher = watch(dir);
  try {
    while (!existsSync(join(dir, name))) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

/** A criu action script that runs `first` and then exits with `code` at one stage. */
function actionScript(stage: string, first: string, code: number): string[] {
  const path = join(dir, 'action.sh');
  writeFileSync(
    path,
    `#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = ${stage} ] || exit 0\n${first}\nexit ${code}\n`,
    {
      mode: 0o755,
    },
  );
  return ['--action-script', path];
}

function track(restored: RestoredProcess): RestoredProcess {
  started.push(...readProcessTree(restored.result.pid).map((stat) => stat.pid));
  return restored;
}

/** Every image and its contents. */
const imagesOf = (imagesDir: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(imagesDir)
      .filter((name) => name.endsWith('.img') || name === 'stats-dump')
      .map((name) => [name, readFileSync(join(imagesDir, name), 'base64')]),
  );

const sum = (phases: { durationMs: number }[]): number =>
  phases.reduce((all, one) => all + one.durationMs, 0);

describe('round trip', { timeout: TIMEOUT_MS }, () => {
  it('brings a tree back, which then ends as our child', async () => {
    const pid = await startTree();
    const before = readProcessTree(pid).map((stat) => [stat.pid, stat.ppid]);
    const dumped = await checkpoint({ ...shared, pid });
    expect(dumped).toMatchObject({ pid, leaveRunning: false, tasks: [] });
    // this process may itself have inherited a pipe
    expect(dumped.warnings.filter((one) => !one.startsWith('pipes to'))).toEqual([]);
    expect(dumped.imageBytes).toBeGreaterThan(4096);
    expect(sum(dumped.phases)).toBeCloseTo(dumped.durationMs, 3);
    expect(before.map(([one = 0]) => isAlive(one))).toEqual([false, false]);

    const restored = track(await restore(shared));
    const { result } = restored;
    expect(result).toMatchObject({ pid, tasks: [], warnings: [] });
    expect(sum(result.phases)).toBeCloseTo(result.durationMs, 3);
    expect(readStat(pid)?.ppid).toBe(process.pid);
    expect(readProcessTree(pid).map((stat) => stat.pid)).toEqual(before.map(([one]) => one));
    process.kill(pid, 'SIGUSR1');
    expect(await restored.wait()).toEqual({ kind: 'exited', code: 7 });
    expect(readStat(pid)).toBeUndefined();
  });

  it('writes images that only their owner can read, also into a directory that others can', async () => {
    const pid = await startTree();
    mkdirSync(shared.imagesDir, { mode: 0o755 });
    const mask = (): string | undefined => /^Umask:.*/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[0];
    const before = mask();
    await checkpoint({ ...shared, pid, leaveRunning: true });
    expect(mask()).toBe(before);
    const isOpen = (name: string): boolean => (statSync(join(shared.imagesDir, name)).mode & 0o077) !== 0;
    expect(readdirSync(shared.imagesDir).filter(isOpen)).toEqual([]);
  });

  it('restores twice from the same images', async () => {
    const pid = await startTree();
    await checkpoint({ ...shared, pid });
    for (let times = 0; times < 2; times += 1) {
      const restored = track(await restore(shared));
      const tree = readProcessTree(pid).map((stat) => stat.pid);
      await restored.kill(0);
      expect(tree.filter((one) => readStat(one) !== undefined)).toEqual([]);
    }
  });

  it('leaves the process running when asked', async () => {
    const pid = await startTree();
    const since = readStat(pid)?.startTime;
    const dumped = await checkpoint({ ...shared, pid, leaveRunning: true });
    expect(dumped.leaveRunning).toBe(true);
    expect(readStat(pid)?.startTime).toBe(since);
    await expect(restore(shared)).rejects.toMatchObject({ code: 'ERR_RESTORE_PID_TAKEN' });
  });

  it('detects that a process shares its session', async () => {
    const leader = await start('sleep 1000 & echo $! > child; : > ready; wait');
    await fileAppears('ready');
    const pid = Number(readFileSync(join(dir, 'child'), 'utf8'));
    expect(readStat(pid)?.session).toBe(leader);
    await checkpoint({ ...shared, pid });
    const restored = track(await restore(shared));
    expect(isAlive(pid)).toBe(true);
    await restored.kill(0);
  });

  it('replaces a checkpoint only with force, and only the images', async () => {
    const pid = await startTree();
    await checkpoint({ ...shared, pid, leaveRunning: true });
    await expect(checkpoint({ ...shared, pid })).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT_IMAGES_DIR',
    });
    writeFileSync(join(shared.imagesDir, 'pages-99.img'), 'of an older dump');
    await checkpoint({ ...shared, pid, leaveRunning: true, force: true });
    expect(readdirSync(shared.imagesDir)).not.toContain('pages-99.img');
    writeFileSync(join(shared.imagesDir, 'notes.txt'), 'mine');
    const before = imagesOf(shared.imagesDir);
    await expect(checkpoint({ ...shared, pid, force: true })).rejects.toThrow('notes.txt');
    expect(isAlive(pid)).toBe(true);
    expect(imagesOf(shared.imagesDir)).toEqual(before);
  });

  it('keeps the earlier checkpoint if the one that should replace it fails', async () => {
    const pid = await startTree();
    await checkpoint({ ...shared, pid, leaveRunning: true });
    const before = imagesOf(shared.imagesDir);
    const extraArgs = actionScript('post-dump', '', 3);
    await expect(checkpoint({ ...shared, pid, force: true, extraArgs })).rejects.toThrow(CheckpointError);
    expect(imagesOf(shared.imagesDir)).toEqual(before);
    const isScratch = (name: string): boolean => name.startsWith('criu-cuda-') && !name.endsWith('.img');
    expect(readdirSync(shared.imagesDir).filter(isScratch)).toEqual([]);
    const reference = join(dir, 'later');
    await checkpoint({ ...shared, pid, imagesDir: reference });
    const restored = track(await restore(shared));
    expect(restored.result.pid).toBe(pid);
  });

  it.each([
    ['before the new one is complete', 'criu-cuda-previous', ['pages-9.img']],
    ['while the earlier one was put aside', 'criu-cuda-moving', []],
  ])('loses nothing to a run that was killed %s', async (_when, aside, written) => {
    const pid = await startTree();
    await checkpoint({ ...shared, pid, leaveRunning: true });
    const { imagesDir } = shared;
    const before = imagesOf(imagesDir);
    mkdirSync(join(imagesDir, aside));
    const away = Object.keys(before).slice(written.length === 0 ? 2 : 0);
    for (const name of away) renameSync(join(imagesDir, name), join(imagesDir, aside, name));
    for (const name of written) writeFileSync(join(imagesDir, name), 'half of a dump');
    await expect(checkpoint({ ...shared, pid })).rejects.toMatchObject({
      hint: expect.stringContaining('--force') as string,
    });
    const extraArgs = actionScript('pre-dump', '', 3);
    await expect(checkpoint({ ...shared, pid, force: true, extraArgs })).rejects.toThrow(CheckpointError);
    expect(imagesOf(imagesDir)).toEqual(before);
    await checkpoint({ ...shared, pid, leaveRunning: true, force: true });
    expect(readdirSync(imagesDir)).not.toContain(aside);
    expect(imagesOf(imagesDir)).not.toEqual(before);
  });

  it('keeps the images of a process that is gone even if criu was interrupted', async () => {
    const pid = await startTree();
    // criu has written everything; then no process is left to continue, as after an interruption a moment later
    const extraArgs = actionScript('post-dump', `kill -9 ${pid} $PPID; sleep 1000`, 0);
    await expect(checkpoint({ ...shared, pid, extraArgs })).rejects.toThrow(CheckpointError);
    await waitForExit(pid);
    expect(isAlive(pid)).toBe(false);
    expect(readdirSync(shared.imagesDir)).toContain('inventory.img');
  });
});

describe('images that CRIU wrote', { timeout: TIMEOUT_MS }, () => {
  it('are read the way CRIU means them', async () => {
    const pid = await startTree();
    const tree = readProcessTree(pid);
    await checkpoint({ ...shared, pid });
    expect(readPstree(shared.imagesDir)).toEqual(
      tree.map((stat) => ({
        pid: stat.pid,
        ppid: stat.pid === pid ? 0 : pid,
        processGroup: stat.processGroup,
        session: stat.session,
        threads: [stat.pid],
      })),
    );
    expect(readInventory(shared.imagesDir)).toEqual({ plugins: [], tcpClose: false });
    const stats = readDumpStats(shared.imagesDir);
    const log = readFileSync(join(shared.imagesDir, 'dump.log'), 'utf8');
    expect(stats?.frozenMs).toBeGreaterThan(0);
    expect(stats?.memdumpMs).toBeGreaterThanOrEqual(stats?.memwriteMs ?? Infinity);
    expect(stats?.pagesWritten).toBeGreaterThan(0);
    expect(log).toContain('Dumping finished successfully');
    track(await restore(shared));
    expect(readRestoreStats(shared.imagesDir)?.restoreMs).toBeGreaterThan(0);
    expect(readRestoreStats(shared.imagesDir)?.pagesRestored).toBe(stats?.pagesWritten);
  });
});

describe('refusals', { timeout: TIMEOUT_MS }, () => {
  it('of a pid that does not exist', async () => {
    const pid = await start('exit 0');
    await waitForExit(pid);
    const failure = checkpoint({ ...shared, pid });
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT_NO_PROCESS',
      hint: expect.stringContaining('criu-cuda process list') as string,
    });
    expect(existsSync(shared.imagesDir)).toBe(false);
  });

  it('of its own tree', async () => {
    await expect(checkpoint({ ...shared, pid: process.ppid })).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT_OWN_TREE',
    });
  });

  it('of a plugin directory without the plugin', async () => {
    const pid = await startTree();
    await expect(checkpoint({ ...shared, pid, libdir: dir })).rejects.toMatchObject({
      code: 'ERR_ENVIRONMENT',
    });
    expect(isAlive(pid)).toBe(true);
  });

  it('of a directory that does not contain a checkpoint', async () => {
    await expect(restore({ ...shared, imagesDir: dir })).rejects.toMatchObject({
      code: 'ERR_RESTORE_IMAGES',
    });
    await expect(restore({ ...shared, imagesDir: '/etc/passwd' })).rejects.toThrow(
      '/etc/passwd is not a directory',
    );
  });

  it('of a checkpoint that was never completed', async () => {
    const pid = await startTree();
    await checkpoint({ ...shared, pid });
    rmSync(join(shared.imagesDir, 'inventory.img'));
    await expect(restore(shared)).rejects.toThrow('does not contain a complete checkpoint');
  });
});

describe('failures', { timeout: TIMEOUT_MS }, () => {
  it('during the dump leave the process running and no images', async () => {
    const pid = await startTree();
    const failure = checkpoint({ ...shared, pid, extraArgs: actionScript('post-dump', '', 3) });
    await expect(failure).rejects.toThrow(CheckpointError);
    await expect(failure).rejects.toMatchObject({ code: 'ERR_CHECKPOINT_FAILED', facts: { exitCode: 255 } });
    expect(isAlive(pid)).toBe(true);
    expect(readdirSync(shared.imagesDir)).toEqual(['dump.log']);
    await checkpoint({ ...shared, pid });
  });

  it('before criu has a log are reported with what it printed', async () => {
    const pid = await startTree();
    const failure = checkpoint({ ...shared, pid, extraArgs: ['--no-such-option'] });
    await expect(failure).rejects.toThrow('no-such-option');
  });

  it('during the restore name the file that changed, and leave nothing behind', async () => {
    const pid = await start(': > file; exec 3<>file; sleep 1000 & : > ready; wait');
    await fileAppears('ready');
    const pids = readProcessTree(pid).map((stat) => stat.pid);
    await checkpoint({ ...shared, pid });
    appendFileSync(join(dir, 'file'), 'more');
    await expect(restore(shared)).rejects.toMatchObject({
      code: 'ERR_RESTORE_FILES',
      files: [`${join(dir, 'file')} has changed since the dump: 0 B at the dump, 4 B now`],
    });
    const failure = restore({ ...shared, keepShared: [join(dir, 'file')] }); // now criu looks
    await expect(failure).rejects.toThrow(RestoreError);
    await expect(failure).rejects.toThrow(/file has bad size 4 \(expect 0\)/);
    await expect(failure).rejects.toMatchObject({ code: 'ERR_RESTORE_FAILED' });
    await expect(failure).rejects.toHaveProperty('hint', expect.stringContaining('restore its old content'));
    expect(pids.filter((one) => readStat(one) !== undefined)).toEqual([]);
  });
});

describe('an interruption', { timeout: TIMEOUT_MS }, () => {
  const interrupt = new InterruptedError('ERR_INTERRUPTED', 'stopped by SIGINT');

  it('of the dump leaves the process running', async () => {
    const pid = await startTree();
    const stop = new AbortController();
    const dumping = checkpoint({
      ...shared,
      pid,
      signal: stop.signal,
      extraArgs: actionScript('post-dump', `: > ${dir}/inside; exec sleep 1000`, 0),
    });
    const failed = expect(dumping).rejects.toMatchObject({
      code: 'ERR_INTERRUPTED',
      message: `stopped by SIGINT: ${pid} runs as before, and there is no checkpoint in ${shared.imagesDir}`,
      cause: interrupt,
    });
    await fileAppears('inside');
    stop.abort(interrupt);
    await failed;
    process.kill(pid, 'SIGUSR1');
    expect(await waitForExit(pid)).toBeDefined();
  });

  it('of the restore leaves nothing behind', async () => {
    const pid = await startTree();
    const pids = readProcessTree(pid).map((stat) => stat.pid);
    await checkpoint({ ...shared, pid });
    const stop = new AbortController();
    const restoring = restore({
      ...shared,
      signal: stop.signal,
      extraArgs: actionScript('post-restore', `: > ${dir}/inside; exec sleep 1000`, 0),
    });
    const failed = expect(restoring).rejects.toMatchObject({
      code: 'ERR_INTERRUPTED',
      message: `stopped by SIGINT: no restored process is left, and the checkpoint in ${shared.imagesDir} is unchanged`,
      cause: interrupt,
    });
    await fileAppears('inside');
    stop.abort(interrupt);
    await failed;
    expect(pids.filter((one) => readStat(one) !== undefined)).toEqual([]);
  });
});
