// SPDX-License-Identifier: MIT
/** The bytes that commands show on a terminal while they copy. Needs `npm run build:ts`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { programFile } from '../../../lib/paths.ts';
import { createMachine, type TestMachine } from '../setup/machine.ts';

const MIB = 2 ** 20;
/** Part of the bytes, with their rate and the time that is left. */
const BYTES = /\d[\d.]* MiB of \d[\d.]* MiB, [\d.]+ \wiB\/s, about \d+ s left/;

/** Bytes of which nothing tells how many there are. */
const UNBOUNDED = /\d[\d.]* MiB so far, [\d.]+ \wiB\/s/;

/** For a program that never shows bytes. */
const DEADLINE_MS = 30_000;

let machine: TestMachine;
let images: string;
let gate: string;
beforeEach(async () => {
  machine = createMachine();
  images = join(machine.dir, 'images');
  gate = join(machine.dir, 'gate');
  mkdirSync(images);
  await exec('mkfifo', [gate]);
});
afterEach(() => {
  machine.remove();
});

/** Copies slowly: a part, and more of it until the gate opens. `$1` is what is read or written. */
const slowly = (step: string): string =>
  `( read line < ${gate}; touch ${machine.dir}/open ) & while ! test -e ${machine.dir}/open; do ${step}; sleep 0.2; done`;

const openGate = (): void => {
  writeFileSync(gate, 'go\n');
};

interface Shown {
  code: number;
  text: string;
}

/** Types a command into a terminal; when bytes are shown, the gate is opened. */
async function typed(
  words: readonly string[],
  env: Record<string, string>,
  bytes: RegExp = BYTES,
): Promise<Shown> {
  const command = [process.execPath, programFile, ...words].map((word) => `'${word}'`).join(' ');
  const script = ['--quiet', '--flush', '--return', '--command', command, '/dev/null'];
  const child = spawn('script', script, {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const deadline = setTimeout(() => {
    openGate(); // what copies ends, and the test says what it saw
  }, DEADLINE_MS);
  let text = '';
  let isOpen = false;
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    if (isOpen || !bytes.test(text)) return;
    isOpen = true;
    openGate();
  });
  const [code] = (await once(child, 'close')) as [number];
  clearTimeout(deadline);
  return { code, text };
}

/** The same without a terminal: nothing is to be seen, so the gate opens at once. */
async function piped(words: readonly string[], env: Record<string, string>): Promise<string> {
  const running = execResult(process.execPath, [programFile, ...words], { env });
  openGate();
  const { exitCode, stderr } = await running;
  expect([exitCode, stderr]).toEqual([0, '']);
  return stderr;
}

it('are those that image verify reads', async () => {
  writeFileSync(join(images, 'cuda-7-0.img'), Buffer.alloc(64 * MIB));
  const line = '{"manifest":"cuda-7.img","pid":7,"ok":true,"chunks":1,"zeroChunks":0,"storedBytes":1}';
  const read = `head -c 1M ${images}/cuda-7-0.img > /dev/null`;
  machine.script('bin/ccr-image', `${slowly(read)}; wait; echo '${line}'`);
  const env = { CRIU_CUDA_BUILD_DIR: machine.dir };
  const shown = await typed(['image', 'verify', images], env);
  expect(shown).toMatchObject({ code: 0, text: expect.stringMatching(BYTES) as string });
  expect(shown.text).toContain('cuda-7.img: ok, 1 chunks');
}, 60_000);

it('are not shown, and not counted, without a terminal', async () => {
  writeFileSync(join(images, 'cuda-7-0.img'), Buffer.alloc(MIB));
  const line = '{"manifest":"cuda-7.img","pid":7,"ok":true,"chunks":1,"zeroChunks":0,"storedBytes":1}';
  machine.script('bin/ccr-image', `${slowly(':')}; wait; echo '${line}'`);
  expect(await piped(['image', 'verify', images], { CRIU_CUDA_BUILD_DIR: machine.dir })).toBe('');
});

it('are those that the daemon reads for pool prefetch', async () => {
  writeFileSync(join(images, 'cuda-7-0.img'), Buffer.alloc(64 * MIB));
  const runDir = join(machine.dir, 'run');
  mkdirSync(runDir, { mode: 0o700 });
  const path = machine.script('bin/daemon', slowly(`head -c 1M ${images}/cuda-7-0.img > /dev/null`));
  const daemon = spawn(path, { stdio: 'ignore' });
  const ended = once(daemon, 'exit');
  const answer = async (socket: Socket, line: string): Promise<void> => {
    if (line.startsWith('prefetch')) await ended;
    const work = { version: '1', pid: daemon.pid };
    socket.end(`${JSON.stringify(line.startsWith('prefetch') ? { resident: 1 } : work)}\n`);
  };
  const server = createServer((socket) => {
    socket.setEncoding('utf8').once('data', (line: string) => void answer(socket, line));
  });
  server.listen(join(runDir, 'control.sock'));
  try {
    const env = { CRIU_CUDA_RUN_DIR: runDir, CRIU_CUDA_CONFIG: '/dev/null' };
    const shown = await typed(['pool', 'prefetch', images], env);
    expect(shown.text).toMatch(BYTES);
    expect(shown.text).toContain('1 resident after');
  } finally {
    daemon.kill('SIGKILL');
    server.close();
  }
}, 60_000);

/** A podman with one container, whose image is fetched slowly, and which is slowly checkpointed into its directory. */
function fakePodman(dir: string): void {
  const container = {
    ...{ Id: 'a'.repeat(64), Name: 'web', State: { Running: true, Pid: process.pid } },
    ...{ Config: { Labels: {} }, StaticDir: dir },
  };
  const inspected = join(machine.dir, 'inspected.json');
  writeFileSync(inspected, JSON.stringify([container]));
  const statistics = { container_statistics: [{ Id: container.Id, runtime_checkpoint_duration: 1 }] };
  const write = `head -c 1M /dev/zero | tr '\\0' x >> ${dir}/checkpoint/pages-1.img`;
  machine.script(
    'bin/podman',
    `case "$1" in
pull) ${slowly('head -c 1M /dev/zero >/dev/null')}; wait; exit;;
esac
case " $* " in *" run "*) exit;; esac
case "$2" in
inspect) cat ${inspected};;
checkpoint) mkdir -p ${dir}/checkpoint; ${slowly(write)}; wait; echo '${JSON.stringify(statistics)}';;
*) exit 9;;
esac`,
  );
}

function containerEnv(): Record<string, string> {
  const criu = machine.script('bin/criu', 'echo "Version: 4.2.1"');
  return {
    ...{ PATH: `${machine.bin}:${process.env.PATH ?? ''}`, CRIU_CUDA_CRIU: criu },
    ...{ CRIU_CUDA_RUN_DIR: join(machine.dir, 'run'), XDG_CACHE_HOME: join(machine.dir, 'cache') },
  };
}

it('are those that a container checkpoint has written', async () => {
  fakePodman(images);
  const shown = await typed(['container', 'checkpoint', 'web'], containerEnv());
  expect(shown.text).toMatch(BYTES);
  expect(shown.text).toContain('checkpoint of web in');
  expect(readFileSync(join(images, 'checkpoint', 'pages-1.img')).length).toBeGreaterThanOrEqual(MIB);
}, 60_000);

it.each(['stock', 'full'])(
  'are those of an image that a container with variant %s needs',
  async (variant) => {
    fakePodman(images);
    const words = ['container', 'create', 'web', 'registry/image', '--gpu', 'none', '--variant', variant];
    const shown = await typed(words, containerEnv(), UNBOUNDED);
    expect(shown.text).toMatch(UNBOUNDED);
    expect(shown.text).toContain(`web is running: pid ${process.pid}`);
    expect(shown.code).toBe(0);
  },
  60_000,
);
