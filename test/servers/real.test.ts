// SPDX-License-Identifier: MIT
/**
 * Real servers, as inference stacks are made of them, without a flag: dumped while 100 clients ask them, and restored five
 * times, each time as after a reboot.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { Machine } from '../helpers/machine.ts';
import { waitFor, waitUntil } from '../helpers/wait.ts';
import { Clients } from './clients.ts';
import { Life } from './life.ts';
import { servers, type Check, type Packages } from './table.ts';

const RESTORES = 5;

const found = await execResult(process.execPath, [join(projectRoot, 'scripts', 'servers.mjs')], {
  timeoutMs: 600_000,
});
const packages = JSON.parse(found.stdout) as Packages;

let machine: Machine;
const lives: Life[] = [];
beforeEach((context) => {
  if (process.geteuid?.() !== 0) context.skip('criu, and mount namespaces, need root');
  // on a disk: a restore sees an empty /dev/shm
  machine = new Machine({}, '/var/tmp');
});
afterEach(async () => {
  for (const life of lives.splice(0)) await life.end();
  await machine.close();
});

/** All that a server says about itself besides its count: each must be true, or as it was. */
const sameAs = (check: Check): object => ({ ...check, count: undefined });

it.for(Object.entries(servers))('%s', { timeout: 120_000 }, async ([name, server], context) => {
  const command = server.command(packages);
  if ('missing' in command) return context.skip(`${name}: ${command.missing}`);
  const life = await Life.start(machine, { ...server, command: command.words });
  lives.push(life);
  const before = await waitFor(() => server.check(life));
  expect(Object.values(before)).not.toContain(false);

  const clients = new Clients(server.connect, life.place.port, server.question);
  await waitUntil(() => clients.least >= 2);
  const answered = clients.total;
  await life.dump();
  await clients.stop();

  for (let time = 1; time <= RESTORES; time++) {
    await life.restore();
    const after = await waitFor(() => server.check(life));
    expect(sameAs(after)).toEqual(sameAs(before));
    // what was counted after an earlier restore is gone; a request whose client was cut off may have been counted
    expect(after.count).toBeGreaterThanOrEqual(before.count + answered);
    expect(after.count).toBeLessThanOrEqual(before.count + clients.asked);
    if (server.jump !== undefined) {
      await life.ask(server.jump);
      expect((await server.check(life)).count).toBeGreaterThanOrEqual(after.count + 1_000_000);
    }
    await waitFor(() => {
      expect(life.log()).toContain(server.printed);
    });
    if (time === 1) {
      const again = new Clients(server.connect, life.place.port, server.question);
      await waitUntil(() => again.least >= 2);
      await again.stop();
      expect(sameAs(await server.check(life))).toEqual(sameAs(before));
    }
    if (time < RESTORES) await life.kill();
  }
});
