// SPDX-License-Identifier: MIT
// A program that was started in a terminal, in a registry, and restored where there is none: criu gets other images then, in a
// directory of links, and files that arrive later would be missing there.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { builtProgram, interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { readStat, waitForExit } from '../../../lib/process/index.ts';
import { inspectImage, pushImage } from '../../../lib/registry/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { HoldingProxy } from '../../helpers/holding-proxy.ts';
import { Machine } from '../../helpers/machine.ts';
import { snapshot } from '../../helpers/parallel.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { waitUntil } from '../../helpers/wait.ts';

const TIMEOUT_MS = 120_000;
const cli = join(projectRoot, 'dist/cli.js');

let machine: Machine;
let registry: TestRegistry;
let proxy: HoldingProxy | undefined;
let child: ChildProcess | undefined;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  machine = new Machine();
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await proxy?.close();
  await registry.stop();
  await machine.close();
});

it(
  'a program that has lost its terminal is restored when all of it is there, not before',
  async () => {
    const workload = await machine.start({
      program: [
        'python3',
        join(projectRoot, 'test/helpers/own_terminal.py'),
        builtProgram('workload-pattern'),
      ],
      args: ['--alloc', '8Mx16', '--host', '6M', '--seed', '7'],
      env: { LD_PRELOAD: interceptorLibrary() },
    });
    const { pid } = workload;
    expect(readStat(pid)?.terminal).not.toBe(0);
    const before = await snapshot(workload);
    const env = { ...process.env, ...machine.env, CRIU_CUDA_CRIU: criuProgram() };
    const dumped = await execResult(process.execPath, [cli, 'checkpoint', String(pid), machine.imagesDir], {
      env,
    });
    expect(dumped.exitCode, dumped.stderr).toBe(0);
    await waitForExit(pid);
    const source = registry.reference('models/terminal:warm');
    await pushImage(machine.imagesDir, source);
    rmSync(machine.imagesDir, { recursive: true });
    const { blocks } = (await inspectImage(source)).description;
    proxy = await HoldingProxy.start(registry.port);
    proxy.held.add(blocks.findLast(({ kind }) => kind === 'stripe')?.digest ?? '');
    await machine.startPool();

    const reference = source.replace(String(registry.port), String(proxy.port));
    const log = join(machine.dir, 'log');
    const words = ['golden', 'restore', reference, '--cache', join(machine.dir, 'cache'), '--log', log];
    const restoring = spawn(process.execPath, [cli, ...words, '--detach', '--json'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = restoring;
    const ended = Promise.all([text(restoring.stdout), once(restoring, 'close')]);
    const { asked } = proxy;
    await waitUntil(
      async () => asked.size > 0 && ((await machine.poolStatus()).images[0]?.loadedBytes ?? 0) > 0,
    );
    proxy.release();
    const [stdout] = await ended;
    expect(restoring.exitCode, stdout).toBe(0);
    const { warnings } = JSON.parse(stdout) as { warnings: string[] };
    expect(warnings.join()).toContain('the program had a terminal');
    expect(warnings.join()).not.toContain('is tried again');
    expect(await snapshot(workload)).toBe(before);
    expect([0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))).toEqual(['/dev/null', log, log]);
    await machine.kill(pid);
  },
  TIMEOUT_MS,
);
