// SPDX-License-Identifier: MIT
/** The pool is killed while it holds the memory of an application: the watcher's descriptor backup keeps it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readStat } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';

const libdir = variantDir('parallel');

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const start = (args: string[]): Promise<Workload> =>
  machine.start({ args, env: { LD_PRELOAD: interceptorLibrary() } });

/** A CRIU action script that kills the pool at one action, and exits with `exitCode` there. */
function killPoolAt(action: string, exitCode: number): string[] {
  const script = join(machine.dir, 'kill-pool.sh');
  writeFileSync(
    script,
    `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = ${action} ] || exit 0
kill -9 $(sed -n 's/.*"event":"pool","pid":\\([0-9]*\\).*/\\1/p' ${machine.runDir}/op-*.jsonl)
exit ${exitCode}
`,
    { mode: 0o755 },
  );
  return ['--action-script', script];
}

const snapshot = async (workload: Workload, who = ''): Promise<string> =>
  `${await workload.verify(who)} ${await workload.addresses(who)}`;

it.each([
  ['one process', ['--alloc', '4Mx3', '--alloc', '2Mx70'], ['']],
  ['a tree of three', ['--alloc', '4Mx3', '--children', '2'], ['', 'child 0 ', 'child 1 ']],
])('%s gets its memory back after a failed dump', async (_name, args, members) => {
  const workload = await start(args);
  const before = await Promise.all(members.map((who) => snapshot(workload, who)));
  const dumped = await machine.dump(workload, { libdir, args: killPoolAt('post-dump', 7) });
  expect(dumped.exitCode).not.toBe(0);
  expect(await Promise.all(members.map((who) => snapshot(workload, who)))).toEqual(before);
  expect(await machine.state(workload.pid)).toBe('running');
  // It owns its memory: the next dump works like the first.
  mkdirSync(join(machine.dir, 'again'));
  const imagesDir = join(machine.dir, 'again');
  expect((await machine.dump(workload, { libdir, imagesDir })).exitCode).toBe(0);
  expect((await machine.restore({ libdir, imagesDir })).exitCode).toBe(0);
  expect(await Promise.all(members.map((who) => snapshot(workload, who)))).toEqual(before);
});

it('a successful dump can be restored', async () => {
  const workload = await start(['--alloc', '4Mx3']);
  const before = await snapshot(workload);
  expect((await machine.dump(workload, { libdir, args: killPoolAt('post-dump', 0) })).exitCode).toBe(0);
  expect((await machine.restore({ libdir })).exitCode).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it.each(['setup-namespaces', 'post-setup-namespaces', 'pre-resume', 'post-resume'])(
  'a restore continues with another helper when the first is killed at %s',
  async (action) => {
    const workload = await start(['--alloc', '4Mx3']);
    const before = await snapshot(workload);
    expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
    const restored = await machine.restore({ libdir, args: killPoolAt(action, 0) });
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    expect(readStat(workload.pid)?.state).not.toBe('Z');
  },
);
