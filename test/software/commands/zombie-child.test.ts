// SPDX-License-Identifier: MIT
// A child that has ended, and that nobody has collected yet, comes back so.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { readStat, waitForExit } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

/** Its child ends at once; at SIGUSR1, it collects it and writes the exit code to the file. */
const program = `
import os, signal, sys
child = os.fork()
if not child:
    os._exit(3)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
def collect(*_):
    with open(sys.argv[1], "w") as file:
        file.write("%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.signal(signal.SIGUSR1, collect)
print(child, flush=True)
null = os.open(os.devnull, os.O_RDWR)
for fd in range(3):
    os.dup2(null, fd)
os.close(null)
while True:
    signal.pause()`;

let machine: Machine;
let pid = 0;
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await machine.kill(pid);
  await machine.close();
});

it('a zombie comes back with its exit code', async () => {
  const answer = join(machine.dir, 'answer');
  const parent = spawn('python3', ['-c', program, answer], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  pid = parent.pid ?? 0;
  const child = Number(String(((await once(parent.stdout, 'data')) as [Buffer])[0]));
  const { env, imagesDir } = machine;
  const ended = once(parent, 'exit');
  await checkpoint({ pid, imagesDir, env, criu: criuProgram() });
  await ended;
  await waitForExit(pid);
  await restore({ imagesDir, env, criu: criuProgram() });
  expect(readStat(child)).toMatchObject({ state: 'Z', ppid: pid });
  process.kill(pid, 'SIGUSR1');
  await waitUntil(() => {
    try {
      return readFileSync(answer, 'utf8') === '3\n';
    } catch {
      return false;
    }
  });
  expect(readStat(child)).toBeUndefined();
});
