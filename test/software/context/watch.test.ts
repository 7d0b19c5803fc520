// SPDX-License-Identifier: MIT
/** Changes of contexts as events, in a loop and on the command line, and what a watch leaves behind. */
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  watchContexts,
  type ContextChange,
  type ContextSnapshot,
  type ContextWatcher,
} from '../../../lib/context/index.ts';
import { openDriver, type CheckpointDriver } from '../../../lib/gpu/index.ts';
import { createIo } from '../../../lib/output.ts';
import { main } from '../../../lib/program.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';

// the libraries in this process read the environment once: one machine for all tests
let machine: Machine;
let driver: CheckpointDriver;
let workload: Workload;
let pid: number;
beforeAll(async () => {
  machine = new Machine();
  Object.assign(process.env, machine.env);
  driver = await openDriver();
});
beforeEach(async () => {
  workload = await machine.start();
  ({ pid } = workload);
});
afterEach(() => workload.kill());
afterAll(() => machine.close());

const intervalMs = 1;
const statesIn = ({ snapshot }: ContextChange): string[] => snapshot.contexts.map(({ state }) => state);

/** The event that says so; its listener is there at once. */
function until(watcher: ContextWatcher, state: string): Promise<void> {
  return new Promise((resolve) => {
    const listener = (change: ContextChange): void => {
      if (statesIn(change).join() !== state) return;
      watcher.off('change', listener);
      resolve();
    };
    watcher.on('change', listener);
  });
}

/** Timers that keep the event loop alive. */
const openTimers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('as events', () => {
  it('a watch tells what is found first, each state, and the end', async () => {
    const watcher = watchContexts({ pid, intervalMs });
    const seen: string[] = [];
    watcher.on('change', (change) => {
      const state = statesIn(change).join();
      if (state !== seen.at(-1)) seen.push(state);
    });
    const ended = once(watcher, 'end');
    await until(watcher, 'running');
    const locked = until(watcher, 'locked');
    await driver.lock(pid);
    await locked;
    const unlocked = until(watcher, 'running');
    await driver.unlock(pid);
    await unlocked;
    await workload.kill();
    await ended;
    expect(seen).toEqual(['running', 'locked', 'running', '']);
  });

  it('a watch of a process that is gone shows none, and ends', async () => {
    await workload.kill();
    const watcher = watchContexts({ pid });
    await Promise.all([until(watcher, ''), once(watcher, 'end')]);
  });

  it('a watch that cannot ask says why, and ends', async () => {
    const watcher = watchContexts({ driver: '/nowhere/libcuda.so.1' });
    const [error] = (await once(watcher, 'error')) as [Error];
    expect(error.message).toContain('/nowhere/libcuda.so.1');
  });

  it.each([
    [{ pid: 0 }, '0 is not a pid'],
    [{ intervalMs: -1 }, 'intervalMs is -1, not a number from 0'],
    [{ intervalMs: Number.NaN }, 'intervalMs is NaN, not a number'],
  ])('%j is refused', (options, message) => {
    expect(() => watchContexts(options)).toThrow(message);
  });
});

describe('in a loop', () => {
  it('a watch yields the changes until the process ends', async () => {
    const seen: string[] = [];
    for await (const change of watchContexts({ pid, intervalMs })) {
      const state = statesIn(change).join();
      if (state === seen.at(-1)) continue; // a process that ends loses its memory first
      seen.push(state);
      if (state === 'running') await driver.lock(pid);
      if (state === 'locked') await workload.kill();
    }
    expect(seen).toEqual(['running', 'locked', '']);
  });

  it('what happens while the loop is busy is one change', async () => {
    const watcher = watchContexts({ pid, intervalMs });
    const seen: string[][] = [];
    for await (const change of watcher) {
      seen.push(statesIn(change));
      if (seen.length === 2) break;
      const locked = until(watcher, 'locked');
      await driver.lock(pid);
      await locked;
      const checkpointed = until(watcher, 'checkpointed');
      await driver.checkpoint(pid);
      await checkpointed;
    }
    expect(seen).toEqual([['running'], ['checkpointed']]);
    await driver.restore(pid);
    await driver.unlock(pid);
  });

  it('leaving it closes the watch, and no timer is left', async () => {
    const before = openTimers();
    const watcher = watchContexts({ pid, intervalMs: 3_600_000 });
    for await (const { appeared } of watcher) {
      expect(appeared).toHaveLength(1);
      break;
    }
    watcher.on('change', () => {
      throw new Error('a closed watch emits');
    });
    // those of the test runner come and go
    while (openTimers() > before) await new Promise(setImmediate);
  });

  it('it throws why the watch cannot ask', async () => {
    const loop = async (): Promise<void> => {
      for await (const change of watchContexts({ driver: '/nowhere/libcuda.so.1' })) {
        expect(change).toBeUndefined();
      }
    };
    await expect(loop()).rejects.toThrow('/nowhere/libcuda.so.1');
  });

  it('ends with the signal', async () => {
    const stop = new AbortController();
    let turns = 0;
    for await (const { snapshot } of watchContexts({ pid, intervalMs: 60_000, signal: stop.signal })) {
      expect(snapshot.contexts).toHaveLength(1);
      turns += 1;
      stop.abort();
    }
    expect(turns).toBe(1);
  });
});

describe('criu-cuda context', () => {
  interface Run {
    out: string;
    ended: Promise<number>;
  }

  function cli(words: readonly string[], onOut: (text: string) => void = () => undefined): Run {
    const run: Run = { out: '', ended: Promise.resolve(0) };
    const write = (text: string): void => {
      run.out += text;
      onOut(text);
    };
    const io = createIo({
      stdout: { write },
      stderr: { write },
      json: words.includes('--json'),
      signal: new AbortController().signal,
      color: false,
    });
    run.ended = main(words, io);
    return run;
  }

  it('list prints a table, or the snapshot as JSON', async () => {
    const text = cli(['context', 'list', '--pid', String(pid)]);
    expect(await text.ended, text.out).toBe(0);
    expect(text.out).toMatch(/^pid +GPU +used +state +memory +gate +command\n/);
    expect(text.out).toMatch(new RegExp(`^${pid} +GPU-736f6674 +28 MiB +running +application +– +\\S+`, 'm'));
    const json = cli(['--json', 'context', 'list', '--pid', String(pid)]);
    expect(await json.ended, json.out).toBe(0);
    const snapshot = JSON.parse(json.out) as ContextSnapshot;
    expect(snapshot).toMatchObject({ contexts: [{ pid, state: 'running' }], pool: null });
  });

  it('watch prints a line for each change until the process ends', async () => {
    const locked = `${pid} GPU-736f6674: running, 28 MiB, application → locked, 28 MiB, application`;
    const steps: Promise<unknown>[] = [];
    const run = cli(['context', 'watch', '--pid', String(pid), '--interval-ms', '1'], (text) => {
      if (steps.length === 0) steps.push(driver.lock(pid));
      else if (text.includes(locked)) steps.push(workload.kill());
    });
    expect(await run.ended, run.out).toBe(0);
    await Promise.all(steps);
    const lines = run.out.trimEnd().split('\n');
    expect(lines[0]).toMatch(new RegExp(`^${pid} GPU-736f6674: running, 28 MiB, application \\(\\S+`));
    expect(lines[1]).toBe(locked);
    expect(lines.at(-1)).toMatch(new RegExp(`^${pid} .+: gone$`));
  });

  it('watch --json prints one document a line', async () => {
    const run = cli(['--json', 'context', 'watch', '--pid', String(pid), '--interval-ms', '1'], (text) => {
      if (text.includes('running')) void workload.kill();
    });
    expect(await run.ended, run.out).toBe(0);
    const changes = run.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ContextChange);
    expect([changes[0], changes.at(-1)].map((change) => change && statesIn(change))).toEqual([
      ['running'],
      [],
    ]);
  });
});
