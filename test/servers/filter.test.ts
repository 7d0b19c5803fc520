// SPDX-License-Identifier: MIT
/** The filter of `criu-cuda run`: it stays with a restored program, and criu must not be under it. */
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { builtProgram, projectRoot } from '../../lib/paths.ts';
import { isAlive, waitForExit } from '../../lib/process/index.ts';
import { needDumpsOfOthers } from '../helpers/criu.ts';
import { Machine } from '../helpers/machine.ts';
import { dumpAndRestore, RunServer, type ServerOptions } from './run-server.ts';

/** Answers like the other servers, with what the kernel says about its user. */
const program = join(projectRoot, 'test', 'servers', 'programs', 'plain_server.py');

let machine: Machine;
const started: RunServer[] = [];
beforeEach((context) => {
  if (process.geteuid?.() !== 0) context.skip('giving up a capability, and criu, need root');
  machine = new Machine();
});
afterEach(async () => {
  for (const server of started.splice(0)) await server.kill();
  await machine.close();
});

async function start(options: Omit<ServerOptions, 'command'> = {}): Promise<RunServer> {
  const server = await RunServer.start(machine, { command: ['python3', program], ...options });
  started.push(server);
  return server;
}

/** Words that run a command as a shell would that `criu-cuda run` has started. */
const filtered = [builtProgram('criu-cuda-run'), '--quiet', '--'];

it('is not suspended by a criu that is under it, which is said before anything moves', async () => {
  const server = await start();
  const refused = await server.dump(machine.imagesDir, filtered);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain(`cannot dump ${server.pid}, which is under a seccomp filter`);
  expect(refused.stderr).toContain('neither criu-cuda run nor a container engine has started');
  expect(existsSync(join(machine.imagesDir, 'dump.log'))).toBe(false);
  expect(await server.ask()).toMatchObject({ count: 1 });

  expect((await server.dump(machine.imagesDir)).exitCode).toBe(0);
  const alsoRefused = await server.restore(machine.imagesDir, filtered);
  expect(alsoRefused.exitCode).toBe(2);
  expect(alsoRefused.stderr).toContain(`cannot restore ${server.pid}, which is under a seccomp filter`);
  expect(existsSync(join(machine.imagesDir, 'restore.log'))).toBe(false);
  expect(isAlive(server.pid)).toBe(false);

  expect((await server.restore(machine.imagesDir)).exitCode).toBe(0);
  expect(await server.ask()).toMatchObject({ count: 2 });
});

it('does not concern a program without it', async () => {
  const server = await start({ flags: ['--allow-io-uring'] });
  expect(server.status('Seccomp')).toBe('0');
  expect((await server.dump(machine.imagesDir, filtered)).exitCode).toBe(0);
  await waitForExit(server.pid);
  expect((await server.restore(machine.imagesDir)).exitCode).toBe(0);
  expect(server.status('Seccomp')).toBe('0');
});

/** Dumped twice; the answers and the filter are compared. */
async function expectKept(server: RunServer): Promise<void> {
  expect([server.status('Seccomp'), server.status('NoNewPrivs')]).toEqual(['2', '1']);
  await dumpAndRestore(server, machine.imagesDir, 2);
  await dumpAndRestore(server, join(machine.dir, 'again'), 1);
}

it('stays with a program that has gained no_new_privs, through two dumps', { timeout: 120_000 }, async () => {
  const drop = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin'];
  await expectKept(await start({ under: drop }));
});

it("stays with another user's program, through two dumps", async (context: TestContext) => {
  chmodSync(machine.dir, 0o1777); // for its log
  const server = await start({ under: ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups'] });
  expect(await server.ask()).toEqual({ count: 1, state: '1000 Function not implemented' });
  needDumpsOfOthers(context);
  await expectKept(server);
}, 120_000);
