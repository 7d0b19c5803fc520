// SPDX-License-Identifier: MIT
/** A first thread that ends, or a program that is killed, between the look and the end of its save. */
import { spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { killTree, readStat } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import type { CriuRun } from '../../helpers/machine.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';
import { waitFor } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let pid = 0;

beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(async () => {
  if (pid > 0 && readStat(pid)) process.kill(pid, 'SIGKILL'); // also threads that have outlived the first one
  if (pid > 0) await killTree(pid);
  await machine.close();
});

async function start(isIntercepted: boolean): Promise<void> {
  const script = join(projectRoot, 'test', 'helpers', 'cuda_program.py');
  const child = spawn('python3', [script, machine.dir, 'leader_ends_at_signal'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...machine.env, ...(isIntercepted ? { LD_PRELOAD: interceptorLibrary() } : {}) },
  });
  pid = child.pid ?? 0;
  const { value } = (await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()) as {
    value: string | undefined;
  };
  expect(value).toBe('ready');
}

const beats = (): number => statSync(join(machine.dir, 'beats')).size;

async function expectBeating(): Promise<void> {
  const now = beats();
  await waitFor(() => {
    expect(beats()).toBeGreaterThan(now);
  });
}

/** What a dump says, in log and status, and that nothing is left of it. */
async function expectFailed(dump: CriuRun, why: string): Promise<void> {
  expect(dump.exitCode).not.toBe(0);
  expect(dump.log).toContain(`cannot dump ${pid}: ${why}`);
  const failures = machine.readStatus().filter(({ event }) => event === 'failure');
  const reasons = failures.map(({ reason }) => reason);
  expect(reasons).toEqual([expect.stringContaining(`cannot dump ${pid}: ${why}`)]);
  await machine.expectNothingLeft();
  await waitFor(() => {
    expect(machine.ownFiles()).toEqual([]);
  });
}

const FIRST_THREAD = 'its first thread has ended, and others still run';

describe.each(['remap', 'full'] as const)('%s: the first thread ends', (variant) => {
  const dumpWhile = async (rule: string): Promise<CriuRun> => {
    await start(variant === 'full');
    const env = await faultPoint(machine.dir, rule, async () => {
      process.kill(pid, 'SIGUSR1');
      await waitFor(() => {
        expect(readStat(pid)?.state).toBe('Z');
      });
    });
    return machine.dumpPid(pid, { libdir: variantDir(variant), env, keepStatus: true });
  };

  it('before its memory is moved: the other threads run', async () => {
    await expectFailed(await dumpWhile('criu:status:1:ask:"process"'), FIRST_THREAD);
    await expectBeating();
  });

  it('when the driver has locked it', async () => {
    const dump = await dumpWhile('criu:status:1:ask:"lock"');
    await expectFailed(dump, FIRST_THREAD);
    if (variant === 'remap') {
      await expectBeating();
      return;
    }
    // the driver cannot return it, so the pool cannot return its device memory
    await waitFor(() => {
      expect(readdirSync('/proc')).not.toContain(String(pid));
    });
    const last = machine.readStatus().findLast(({ event }) => event === 'task');
    expect(last?.reason).toMatch(/first thread has ended.*it was killed, because its device memory/);
  });
});

it.each([
  { variant: 'remap', rule: 'criu:ptrace:30:ask:', when: 'while the driver makes its checkpoint' },
  { variant: 'remap', rule: 'criu:image:1:ask:cuda-host', when: 'when its memory is in the page file' },
  { variant: 'full', rule: 'criu:memory:5:ask:', when: 'while its service thread is asked' },
  { variant: 'full', rule: 'criu:image:1:ask:cuda-host', when: 'when its memory is in the page file' },
  { variant: 'full', rule: 'pool:image:1:ask:', when: 'while its device memory is saved' },
] as const)('$variant: a program is killed $when: the dump ends at once', async ({ variant, rule }) => {
  await start(variant === 'full');
  const env = await faultPoint(machine.dir, rule, async () => {
    process.kill(pid, 'SIGKILL');
    await waitFor(() => {
      expect(readStat(pid)?.state ?? 'Z').toMatch(/[ZX]/);
    });
  });
  const dump = await machine.dumpPid(pid, {
    libdir: variantDir(variant),
    env: { ...env, CRIU_CUDA_LOCK_TIMEOUT_MS: '60000' },
    keepStatus: true,
  });
  expect(dump.durationMs).toBeLessThan(20_000);
  await expectFailed(dump, 'it was killed, or has ended');
});
