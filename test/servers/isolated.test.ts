// SPDX-License-Identifier: MIT
/** Two copies of a real server, dumped while 100 clients ask it, run side by side and do not see each other. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { Machine } from '../helpers/machine.ts';
import { waitFor, waitUntil } from '../helpers/wait.ts';
import { Clients } from './clients.ts';
import { Life, type IsolatedCopy } from './life.ts';
import { servers, type Check, type Packages } from './table.ts';

const found = await execResult(process.execPath, [join(projectRoot, 'scripts', 'servers.mjs')], {
  timeoutMs: 600_000,
});
const packages = JSON.parse(found.stdout) as Packages;

let machine: Machine;
const lives: Life[] = [];
const copies: IsolatedCopy[] = [];
beforeEach((context) => {
  if (process.geteuid?.() !== 0) context.skip('criu, and namespaces, need root');
  machine = new Machine({}, '/var/tmp');
});
afterEach(async () => {
  for (const { initPid } of copies.splice(0)) await machine.kill(initPid);
  for (const life of lives.splice(0)) await life.end();
  await machine.close();
});

const checkOf = async (copy: IsolatedCopy): Promise<Check> => JSON.parse(await copy.ask('/check')) as Check;

/** Those that answer over HTTP, one of them with device memory, one of them not in Python. */
const names = ['uvicorn with a spawned engine', 'Node 22'];

it.for(names)('%s', { timeout: 120_000 }, async (name, context) => {
  const server = servers[name];
  const command = server?.command(packages);
  if (!server || !command) throw new Error(`there is no server ${name}`);
  if ('missing' in command) return context.skip(`${name}: ${command.missing}`);
  const life = await Life.start(machine, { ...server, command: command.words });
  lives.push(life);
  const before = await waitFor(() => server.check(life));
  const clients = new Clients(server.connect, life.place.port, server.question);
  await waitUntil(() => clients.least >= 2);
  await life.dump();
  await clients.stop();

  copies.push(await life.restoreIsolated(), await life.restoreIsolated());
  const [first, second] = copies;
  if (!first || !second) throw new Error('there are no copies');
  const [ofFirst, ofSecond] = [await checkOf(first), await checkOf(second)];
  const count = expect.any(Number) as number;
  expect(ofFirst).toEqual({ ...before, count });
  expect(ofSecond).toEqual({ ...before, count });
  // what one counts, in its own and in shared memory, the other does not see
  await first.ask('/jump');
  const [firstAgain, secondAgain] = [await checkOf(first), await checkOf(second)];
  expect(firstAgain).toEqual({ ...ofFirst, count: ofFirst.count + 1_000_000 });
  expect(secondAgain).toEqual(ofSecond);
});
