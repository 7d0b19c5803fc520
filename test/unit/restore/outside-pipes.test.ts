// SPDX-License-Identifier: MIT
/** Pipes whose other end was outside the tree, with real CRIU. */
import { execFileSync, spawn } from 'node:child_process';
import {
  mkdtempSync,
  openSync,
  closeSync,
  constants,
  readFileSync,
  readSync,
  rmSync,
  existsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { isAlive, killTree } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { waitUntil } from '../../helpers/wait.ts';

let dir: string;
let pid: number;
let options: { criu: string; imagesDir: string; env: Record<string, string> };
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-pipes-'));
  options = {
    criu: criuProgram(),
    imagesDir: join(dir, 'images'),
    env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
  };
});
afterEach(async () => {
  await killTree(pid);
  rmSync(dir, { recursive: true, force: true });
});

const file = (name: string): string => join(dir, name);

/** Waits for a file, then reads stdin to its end, and writes what it has read. */
const reader = `
import os, sys, time
os.chdir(sys.argv[1])
with open("starting", "w") as file: file.write(str(os.getpid()))
os.rename("starting", "ready")
while not os.path.exists("go"): time.sleep(0.01)
data = sys.stdin.buffer.read()
with open("partial", "wb") as file: file.write(data)
os.rename("partial", "read")
print("has read", flush=True)
time.sleep(1000)`;

/** Starts the reader in a pipeline of a shell: Node's own pipes are sockets. */
async function start(before: string, after: string): Promise<void> {
  const words = ['-c', `${before} | setsid python3 -c "$0" "$1" ${after}`, reader, dir];
  spawn('sh', words, { stdio: ['ignore', 'ignore', 'ignore'] });
  pid = Number(await waitUntil(() => existsSync(file('ready')) && readFileSync(file('ready'), 'utf8')));
}

it('what was not read yet is there after a restore, and then the end, any number of times', async () => {
  await start('printf unread', '');
  await checkpoint({ ...options, pid });
  for (let round = 0; round < 2; round++) {
    const restored = await restore(options);
    expect(isAlive(pid)).toBe(true);
    closeSync(openSync(file('go'), 'w'));
    await waitUntil(() => existsSync(file('read')));
    expect(readFileSync(file('read'), 'utf8')).toBe('unread');
    await restored.kill();
    for (const name of ['go', 'read']) rmSync(file(name));
  }
});

it('a named pipe that nobody reads is refused as log, and one that is read gets the lines', async () => {
  await start(':', '| cat');
  await checkpoint({ ...options, pid });
  execFileSync('mkfifo', [file('log')]);
  await expect(restore({ ...options, log: file('log') })).rejects.toMatchObject({
    code: 'ERR_USAGE',
    message: `cannot write to the log ${file('log')}: nobody reads this named pipe`,
  });
  expect(isAlive(pid)).toBe(false);

  const reading = openSync(file('log'), constants.O_RDONLY | constants.O_NONBLOCK);
  await restore({ ...options, log: file('log') });
  closeSync(openSync(file('go'), 'w'));
  await waitUntil(() => existsSync(file('read')));
  expect(await waitUntil(() => readOrNothing(reading))).toBe('has read\n');
  closeSync(reading);
});

function readOrNothing(fd: number): string {
  try {
    const buffer = Buffer.alloc(100);
    return buffer.toString('utf8', 0, readSync(fd, buffer)); // once: its end does not come
  } catch {
    return ''; // nothing yet
  }
}
