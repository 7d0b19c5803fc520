// SPDX-License-Identifier: MIT
// A program that gets a signal when its parent ends, as `setpriv --pdeathsig` and other launchers ask for: its parent is criu when
// it is restored, and ends at once.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { ParallelMachine, snapshot } from '../../helpers/parallel.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

const underSignal = ['setpriv', '--pdeathsig', 'TERM'];

it.each([
  ['with the interceptor', () => machine.startIntercepted({}, undefined, underSignal)],
  ['without', () => machine.start({ under: underSignal })],
])('is restored, and lives on, %s', async (_name, start) => {
  const workload = await start();
  const before = await snapshot(workload);
  for (const generation of [1, 2]) {
    const options = { criu: criuProgram(), env: machine.env, imagesDir: join(machine.dir, `${generation}`) };
    const { warnings } = await checkpoint({ ...options, pid: workload.pid });
    const signals = warnings.filter((one) => one.includes('SIGTERM when its parent ends'));
    expect(signals).toHaveLength(generation === 1 ? 1 : 0);
    await restore(options);
    expect(await snapshot(workload)).toBe(before);
  }
});
