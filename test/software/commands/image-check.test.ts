// SPDX-License-Identifier: MIT
// What is in the way of a restore on another machine, all at once: ports, programs, libraries, weights.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { answerAt } from '../../helpers/answers.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/sharing.py');
/** Two libraries that every system has, one in the place of the other. */
const [library, upgraded] = ['libm.so.6', 'libresolv.so.2'].map((name) =>
  realpathSync(`/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/${name}`),
) as [string, string];
const WEIGHT_BYTES = 4 << 20;

let machine: Machine;
let disk: string;
let child: ChildProcess;
let server: { pid: number; port: number };
beforeEach(async () => {
  machine = new Machine();
  disk = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-check-')));
  writeFileSync(join(disk, 'weights'), Buffer.alloc(WEIGHT_BYTES, 'w'));
  writeFileSync(join(disk, 'model'), Buffer.alloc(WEIGHT_BYTES, 'm'));
  copyFileSync(library, join(disk, 'library.so'));
  const output = openSync(join(disk, 'output'), 'w');
  const words = [
    program,
    join(disk, 'work'),
    `ccr-check-${process.pid}`,
    join(disk, 'weights'),
    join(disk, 'model'),
  ];
  child = spawn('setsid', ['python3', ...words], {
    stdio: ['ignore', output, output],
    env: { ...process.env, LD_PRELOAD: join(disk, 'library.so') },
  });
  closeSync(output);
  const read = (): string => readFileSync(join(disk, 'output'), 'utf8');
  const [, pid, port] = await waitUntil(() => /pid (\d+) port (\d+)/.exec(read()));
  server = { pid: Number(pid), port: Number(port) };
});
afterEach(async () => {
  await end();
  child.kill('SIGKILL');
  await machine.close();
  rmSync(disk, { recursive: true });
  rmSync(`/dev/shm/ccr-check-${process.pid}`, { force: true });
});

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], { env: machine.env });

async function end(): Promise<void> {
  const tree = readProcessTree(server.pid).map((one) => one.pid);
  await machine.kill(server.pid);
  await Promise.all(tree.map((one) => waitForExit(one)));
}

interface Check {
  canRestore: boolean;
  problems: { code: string; texts: string[]; remedy: string }[];
  bringsBack: string[];
}

async function check(): Promise<Check & { exitCode: number }> {
  const { stdout, exitCode } = await cli(['image', 'check', machine.imagesDir, '--json']);
  return { ...(JSON.parse(stdout) as Check), exitCode };
}

const ask = (): Promise<unknown> => answerAt(server.port);

it('everything is named at once, and nothing is changed', async () => {
  const tree = readProcessTree(server.pid).map((one) => one.pid);
  const dumped = await cli(['checkpoint', String(server.pid), machine.imagesDir]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  await Promise.all(tree.map((one) => waitForExit(one)));

  expect(await check()).toMatchObject({ exitCode: 0, canRestore: true, problems: [] });

  unlinkSync(join(disk, 'weights'));
  writeFileSync(join(disk, 'model'), Buffer.alloc(WEIGHT_BYTES, 'x'));
  utimesSync(join(disk, 'model'), 1, 1);
  copyFileSync(upgraded, join(disk, 'library.so'));
  rmSync(join(disk, 'work'), { recursive: true });
  const other = createServer().listen(server.port, '127.0.0.1');
  await once(other, 'listening');

  const found = await check();
  expect(found).toMatchObject({ exitCode: 2, canRestore: false });
  expect(found.bringsBack).toEqual([]); // not known while something is missing
  const [ports, files] = found.problems;
  expect(ports).toMatchObject({ code: 'ERR_RESTORE_PORT_TAKEN' });
  expect(ports?.texts).toEqual([
    expect.stringContaining(`TCP port ${server.port} (127.0.0.1) is in use by ${process.pid}`),
  ]);
  expect(files?.code).toBe('ERR_RESTORE_FILES');
  const texts = files?.texts ?? [];
  expect(texts).toHaveLength(3);
  const about = (name: string): string | undefined => texts.find((text) => text.startsWith(join(disk, name)));
  expect(about('weights')).toContain('is missing (4 MiB, mode 0644)');
  expect(about('model')).toContain('has changed since the dump');
  expect(about('library.so')).toMatch(
    /another version: .* build id [0-9a-f]{16} at the dump, .* build id [0-9a-f]{16} now/,
  );

  const refused = await cli(['restore', machine.imagesDir, '--detach']);
  expect(refused.exitCode).toBe(2);
  for (const text of [...texts, ...(ports?.texts ?? [])]) expect(refused.stderr).toContain(text);
  expect(isAlive(server.pid)).toBe(false);
  expect(existsSync(join(disk, 'work'))).toBe(false);

  other.close();
  writeFileSync(join(disk, 'weights'), Buffer.alloc(WEIGHT_BYTES, 'w'));
  writeFileSync(join(disk, 'model'), Buffer.alloc(WEIGHT_BYTES, 'm'));
  copyFileSync(library, join(disk, 'library.so'));
  const restored = await check();
  expect(restored).toMatchObject({ exitCode: 0, problems: [] });
  expect(restored.bringsBack).toContain(join(disk, 'work'));
  expect((await cli(['restore', machine.imagesDir, '--detach'])).exitCode).toBe(0);
  expect(await ask()).toMatchObject({ private: 1, shared: 1 });
  expect((await check()).problems).toMatchObject([{ code: 'ERR_RESTORE_PID_TAKEN' }]);
});
