// SPDX-License-Identifier: MIT
/** Real servers that CRIU refuses when a shell has started them: `criu-cuda run` starts them so that they can be dumped. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { Machine } from '../helpers/machine.ts';
import { dumpAndRestore, RunServer, type ServerOptions } from './run-server.ts';

type Program = string | { missing: string };

const programs = join(projectRoot, 'test', 'servers', 'programs');
const found = await execResult(process.execPath, [join(projectRoot, 'scripts', 'servers.mjs')], {
  timeoutMs: 600_000,
});
const packages = JSON.parse(found.stdout) as Record<'python' | 'node22' | 'goServer', Program>;

/** The command line of each, and what is wrong with it when a shell has started it. */
const servers = {
  'uvicorn with uvloop and device memory': {
    program: packages.python,
    words: ['-m', 'uvicorn', '--app-dir', programs, 'uvicorn_app:app', '--loop', 'uvloop', '--port', '0'],
    refusal: /io_uring/,
  },
  'Node 22': {
    program: packages.node22,
    words: [join(programs, 'node_server.mjs')],
    refusal: /io_uring/,
  },
  'Go that listens with MPTCP': { program: packages.goServer, words: [], refusal: /MPTCP/ },
};
const names = Object.keys(servers) as (keyof typeof servers)[];

let machine: Machine;
const started: RunServer[] = [];
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  for (const server of started.splice(0)) await server.kill();
  await machine.close();
});

async function start(
  context: TestContext,
  name: keyof typeof servers,
  options: Omit<ServerOptions, 'command'> = {},
): Promise<RunServer> {
  const { program, words } = servers[name];
  if (typeof program !== 'string') context.skip(`${name}: ${program.missing}`);
  const server = await RunServer.start(machine, { command: [program, ...words], ...options });
  started.push(server);
  return server;
}

describe.each(names)('%s', (name) => {
  it('is dumped and restored twice, and dumped again', { timeout: 180_000 }, async (context) => {
    const server = await start(context, name);
    await dumpAndRestore(server, machine.imagesDir, 2);
    // a restored process is dumped like the first one
    await dumpAndRestore(server, join(machine.dir, 'again'), 1);
  });

  it(
    'is refused with the remedy when it uses what CRIU cannot dump',
    { timeout: 120_000 },
    async (context) => {
      const server = await start(context, name, {
        flags: ['--allow-io-uring'],
        under: ['env', 'GODEBUG=multipathtcp=1'],
      });
      const { state } = await server.ask();
      const { exitCode, stderr } = await server.dump(machine.imagesDir);
      expect(exitCode).not.toBe(0);
      expect(stderr).toMatch(servers[name].refusal);
      expect(stderr).toContain('criu-cuda run');
      expect((await server.ask()).state).toBe(state);
    },
  );
});
