// SPDX-License-Identifier: MIT
// `restore --isolated`: copies of one checkpoint run side by side, and are stopped, waited for and dumped like others.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { isAlive, readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { restore as restoreByLibrary } from '../../../lib/restore/index.ts';
import { answerAt, answerInside } from '../../helpers/answers.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/copies.py');
const KINDS = ['pid', 'mnt', 'ipc', 'net', 'time'] as const;
type Kind = (typeof KINDS)[number];

interface Answer {
  pid: number;
  count: number;
  shared: number;
  through_socket: number;
  in_pipe: number;
  monotonic: number;
  namespaces: Record<Kind, string>;
}

interface Isolation {
  initPid: number;
  insidePid: number;
  network: boolean;
  ports: number[];
}

/** A restored copy. */
interface Copy {
  pid: number;
  isolated?: Isolation;
  broughtBack: string[];
}

let machine: Machine;
/** Directly below /tmp, where an isolated copy makes its own files. */
let dir: string;
let port = 0;
const inits: number[] = [];
const children: ChildProcess[] = [];
beforeEach(() => {
  machine = new Machine();
  dir = mkdtempSync(join(tmpdir(), 'ccr-isolated-'));
});
afterEach(async () => {
  for (const pid of inits.splice(0)) await machine.kill(pid);
  for (const one of children.splice(0)) one.kill('SIGKILL');
  await machine.close();
  rmSync(dir, { recursive: true });
  rmSync(`/dev/shm/${segment()}`, { force: true });
});

const segment = (): string => `ccr-isolated-${process.pid}`;
const workDir = (): string => join(dir, 'work');

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], { env: machine.env });

async function start(): Promise<number> {
  const path = join(machine.dir, 'output');
  const output = openSync(path, 'w');
  const child = spawn('setsid', ['python3', program, workDir(), segment()], {
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  children.push(child);
  const [, pid, listening] = await waitUntil(() => /pid (\d+) port (\d+)/.exec(readFileSync(path, 'utf8')));
  port = Number(listening);
  return Number(pid);
}

const ask = (): Promise<Answer> => answerAt(port);

/** From inside the network of a copy. */
const askInside = (pid: number): Promise<Answer> => answerInside(pid, port);

async function dump(pid: number, imagesDir = machine.imagesDir): Promise<void> {
  const tree = readProcessTree(pid).map((one) => one.pid);
  const dumped = await cli(['checkpoint', String(pid), imagesDir]);
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  await Promise.all(tree.map((one) => waitForExit(one)));
}

async function restore(flags: readonly string[], imagesDir = machine.imagesDir): Promise<Copy> {
  const { exitCode, stdout, stderr } = await cli(['--json', 'restore', imagesDir, '--detach', ...flags]);
  expect(exitCode, stdout + stderr).toBe(0);
  const copy = JSON.parse(stdout) as Copy;
  inits.push(copy.isolated?.initPid ?? copy.pid);
  return copy;
}

const namespacesOf = (pid: number | 'self'): Record<string, string> =>
  Object.fromEntries(KINDS.map((kind) => [kind, readlinkSync(`/proc/${pid}/ns/${kind}`)]));

it('runs two copies beside the process that has their pid, port and files', async () => {
  const pid = await start();
  await ask();
  await dump(pid);
  const plain = await restore([]);
  expect(plain.pid).toBe(pid);
  const copies = [await restore(['--isolated-network']), await restore(['--isolated-network'])];

  const own = namespacesOf('self');
  const seen = copies.map((copy) => namespacesOf(copy.pid));
  for (const kind of KINDS) expect(new Set([own[kind], ...seen.map((one) => one[kind])]).size, kind).toBe(3);
  expect(copies.map(({ isolated }) => isolated)).toMatchObject([
    { insidePid: pid, network: true, ports: [port] },
    { insidePid: pid, network: true, ports: [port] },
  ]);
  // each continues where the dump was, by itself
  const [first, second] = copies.map((copy) => copy.pid) as [number, number];
  const asked = { pid, in_pipe: 1 };
  expect(await askInside(first)).toMatchObject({
    ...asked,
    count: 2,
    shared: 2,
    through_socket: 2,
    namespaces: seen[0],
  });
  expect(await askInside(first)).toMatchObject({ ...asked, count: 3, shared: 3, through_socket: 3 });
  expect(await askInside(second)).toMatchObject({
    ...asked,
    count: 2,
    shared: 2,
    through_socket: 2,
    namespaces: seen[1],
  });
  expect(await ask()).toMatchObject({ ...asked, count: 2, shared: 2, through_socket: 2 });
  // the log is one file
  const log = readFileSync(join(workDir(), 'log'), 'utf8');
  expect(log.split('\n').filter((line) => line === 'asked 2')).toHaveLength(3);
});

it('is dumped from outside into images that are restored either way', async () => {
  const pid = await start();
  await ask();
  await dump(pid);
  const copy = await restore(['--isolated']);
  expect(await ask()).toMatchObject({ pid, count: 2, shared: 2 });
  // its /tmp has no such directory
  const again = mkdtempSync(join(tmpdir(), 'ccr-isolated-'));
  try {
    await dump(copy.pid, join(again, 'images'));
    expect(existsSync(join(again, 'images', 'inventory.img'))).toBe(true);
    expect(isAlive(copy.isolated?.initPid ?? 0)).toBe(false);
    const next = await restore(['--isolated'], join(again, 'images'));
    expect(await ask()).toMatchObject({ pid, count: 3, shared: 3, through_socket: 3, in_pipe: 1 });
    await machine.kill(next.isolated?.initPid ?? 0);
    const plain = await restore([], join(again, 'images'));
    expect(plain.pid).toBe(pid);
    expect(namespacesOf(pid)).toMatchObject({ pid: namespacesOf('self').pid, mnt: namespacesOf('self').mnt });
    expect(await ask()).toMatchObject({ pid, count: 3, shared: 3, through_socket: 3, in_pipe: 1 });
  } finally {
    rmSync(again, { recursive: true });
  }
});

it('gives an isolated copy nothing of the files that are private, and takes nothing away', async () => {
  const pid = await start();
  await dump(pid);
  const names = ['socket', 'pipe', 'lock'];
  const before = names.map((one) =>
    existsSync(join(workDir(), one)) ? statSync(join(workDir(), one)).ino : 0,
  );
  const copy = await restore(['--isolated']);
  expect((await ask()).through_socket).toBe(1);
  const after = names.map((one) =>
    existsSync(join(workDir(), one)) ? statSync(join(workDir(), one)).ino : 0,
  );
  expect(after).toEqual(before);
  const inside = join('/proc', String(copy.pid), 'root');
  for (const one of names)
    expect(statSync(join(inside, workDir(), one)).ino).not.toBe(before[names.indexOf(one)]);
  expect(copy.broughtBack).toContain(`/dev/shm/${segment()}`);
  // everything else is seen: the images below /dev/shm, and what is in /tmp and /run
  expect(statSync(inside + machine.imagesDir).ino).toBe(statSync(machine.imagesDir).ino);
  for (const name of readdirSync('/run'))
    expect(existsSync(`${inside}/run/${name}`), name).toBe(existsSync(`/run/${name}`));
});

it('ends with its namespaces, by stop, by a signal, and with its exit code', async () => {
  const pid = await start();
  await dump(pid);
  const stopped = await restore(['--isolated']);
  const end = await cli(['stop', String(stopped.pid)]);
  expect(end.exitCode, end.stderr).toBe(0);
  await waitForExit(stopped.isolated?.initPid ?? 0);
  expect([isAlive(stopped.pid), isAlive(stopped.isolated?.initPid ?? 0)]).toEqual([false, false]);

  const staying = spawn(
    process.execPath,
    [join(projectRoot, 'dist/cli.js'), '--json', 'restore', machine.imagesDir, '--isolated'],
    {
      env: { ...process.env, ...machine.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  children.push(staying);
  const exit = once(staying, 'exit');
  let text = '';
  staying.stdout.on('data', (data: Buffer) => (text += data.toString()));
  const copy = await waitUntil(() => (text.endsWith('}\n') ? (JSON.parse(text) as Copy) : undefined));
  process.kill(copy.pid, 'SIGUSR1');
  expect((await exit)[0]).toBe(7);
  await waitUntil(() => !isAlive(copy.isolated?.initPid ?? 0));

  const library = await restoreByLibrary({ imagesDir: machine.imagesDir, env: machine.env, isolated: true });
  expect(await library.wait({ timeoutMs: 1 })).toBeUndefined();
  const { initPid = 0 } = library.result.isolated ?? {};
  process.kill(library.result.pid, 'SIGKILL');
  expect(await library.wait()).toMatchObject({ kind: 'signaled', signal: 9 });
  const other = await restoreByLibrary({ imagesDir: machine.imagesDir, env: machine.env, isolated: true });
  await other.kill();
  expect([isAlive(other.result.pid), isAlive(initPid), isAlive(other.result.isolated?.initPid ?? 0)]).toEqual(
    [false, false, false],
  );
});

it('restores device memory beside a pool, and the driver is asked from outside', async () => {
  await machine.startPool();
  const workload = await machine.start({ env: { LD_PRELOAD: interceptorLibrary() } });
  const before = await workload.ask('sum');
  const dumped = await cli(['checkpoint', String(workload.pid), machine.imagesDir]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  await workload.ended();
  for (const flag of ['--isolated', '--isolated-network']) {
    const { pid } = await restore([flag]);
    const socket = connect(`/proc/${pid}/root${workload.socketPath}`);
    socket.write('sum\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString().trim()).toBe(before);
    socket.destroy();
    expect(await machine.state(pid)).toBe('running');
    const again = await cli(['checkpoint', String(pid), join(machine.dir, `again${flag}`)]);
    expect(again.exitCode, again.stderr).toBe(0);
    expect(again.stdout).toContain('CUDA processes: 1');
  }
});

it('says what goes wrong inside, and leaves nothing', async () => {
  const pid = await start();
  await dump(pid);
  rmSync(join(machine.imagesDir, 'files.img'));
  const { exitCode, stderr } = await cli(['restore', machine.imagesDir, '--isolated', '--detach']);
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/cannot restore|files.img/);
  const left = readProcessTree(process.pid).filter(
    ({ comm, state }) => comm === 'criu-cuda-init' && state !== 'Z',
  );
  expect(left).toEqual([]);
});
