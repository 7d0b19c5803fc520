// SPDX-License-Identifier: MIT
/** What every engine does with its own commands, as docs/containers.md prints them. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { readGpuImages } from '../../../lib/images/index.ts';
import type { OperationRecord } from '../../../lib/operations/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { needDumpsOfOthers } from '../criu.ts';
import { hasStorage } from '../driver.ts';
import { targets, threadNames } from '../same-program.ts';
import { waitFor } from '../wait.ts';
import { enginePrograms, type Engine } from './engine.ts';

/** What must be the same in a program before and after, wherever it runs. */
function look(pid: number | undefined): { threads: string[]; mailboxes: number; descriptors: string[] } {
  const read = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return {
    threads: threadNames(pid ?? 0).sort(),
    mailboxes: read('maps').split('/memfd:criu-cuda-mailbox').length - 1,
    // without sockets: connections of this test come and go
    descriptors: targets(pid ?? 0)
      .filter((target) => !target.startsWith('socket:'))
      .map((target) => target.replace(/\[\d+\]/, ''))
      .sort(),
  };
}

/**
 * All tests of one engine.
 * @param programs that it needs
 */
export function describeEngine(make: new () => Engine, programs: readonly string[]): void {
  const { reason } = enginePrograms(...programs);
  let engine: Engine;

  beforeAll(async () => {
    if (reason !== undefined) return;
    engine = new make();
    await engine.open();
  });
  afterAll(async () => {
    if (reason === undefined) await engine.close();
  });
  beforeEach((context: TestContext) => {
    if (reason !== undefined) context.skip(reason);
  });
  afterEach(async () => {
    if (reason !== undefined) return;
    await engine.remove();
    engine.removeDevices();
  });

  /** The program runs and has these bytes; everything else of it is as before. */
  async function expectSame(checksum: string, before: ReturnType<typeof look>, name?: string): Promise<void> {
    expect(await engine.checksum()).toBe(checksum);
    const pid = await engine.pid(name);
    await waitFor(() => {
      expect(look(pid)).toEqual(before);
    });
  }

  /** The latest operation. */
  async function last(): Promise<OperationRecord | undefined> {
    const { stdout } = await engine.sh('criu-cuda status --last 1 --json');
    return (JSON.parse(stdout) as OperationRecord[])[0];
  }

  describe('a container', () => {
    it('is dumped and keeps running, is dumped and restored in place, and as another container', async () => {
      await engine.start();
      const checksum = await engine.checksum();
      const before = look(await engine.pid());
      expect(before.mailboxes).toBe(1);

      await engine.checkpointRunning();
      await expectSame(checksum, before);
      expect(await last()).toMatchObject({ kind: 'dump', outcome: 'succeeded' });
      expect(await engine.ask('fill 7')).toBe('ok');
      const filled = await engine.checksum();
      expect(filled).not.toBe(checksum);

      await engine.checkpoint();
      expect(await engine.pid()).toBeUndefined();
      await engine.restore();
      await expectSame(filled, before);
      expect(await last()).toMatchObject({ kind: 'restore', outcome: 'succeeded' });
      await engine.restoreOther();
      await expectSame(filled, before, engine.other);
      expect(engine.unusedLines()).toEqual([]);
    });

    it('of another user is dumped and restored', async (context) => {
      if (engine.hostRoot === 0) needDumpsOfOthers(context);
      await engine.start({ user: '1000:1000' });
      const checksum = await engine.checksum();
      const before = look(await engine.pid());
      await engine.checkpoint();
      await engine.restore();
      await expectSame(checksum, before);
      const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${await engine.pid()}/status`, 'utf8'))?.[1];
      expect(Number(uid)).toBe(engine.hostRoot + 1000);
    });

    it('without the interceptor keeps its device memory, and what moves it is said', async () => {
      await engine.start({ intercept: false });
      const checksum = await engine.checksum();
      const before = look(await engine.pid());
      expect(before.mailboxes).toBe(0);
      await engine.checkpoint();
      const images = await readGpuImages(await engine.imagesDir());
      expect(images.map(({ manifest }) => manifest.isDriver)).toEqual(hasStorage ? [true] : []);
      const dumped = await last();
      expect(dumped).toMatchObject({ kind: 'dump', outcome: 'succeeded', variant: 'full' });
      const memory = dumped?.processes[0]?.memory;
      if (hasStorage) expect(memory?.pool).toMatchObject({ by: 'helper' });
      else expect(memory?.reason).toContain('it has no interceptor');
      await engine.restore();
      await expectSame(checksum, before);
    });

    it('is not restored with damaged device memory, and the engine and the history know it', async () => {
      await engine.start();
      await engine.checksum();
      await engine.checkpoint();
      await engine.damage();
      expect((await engine.trySh(engine.restoreLine())).exitCode).not.toBe(0);
      expect(await engine.pid()).toBeUndefined();
      await expect(askWorkload(engine.socketPath, 'verify', 1000)).rejects.toThrow();
      const restored = await last();
      expect(restored).toMatchObject({ kind: 'restore', outcome: 'failed' });
      expect(restored?.processes[0]?.reason).toContain('damaged');
    });

    it('is restored from golden and from prefetched images, of which the engine may make a copy', async () => {
      await engine.machine.startPool();
      await engine.start();
      const checksum = await engine.checksum();
      const before = look(await engine.pid());
      for (const [flag, source] of [
        ['--golden', 'golden'],
        ['', 'resident'],
      ] as const) {
        await engine.checkpoint();
        await engine.sh(`criu-cuda pool prefetch ${flag} ${await engine.imagesDir()}`);
        await engine.restore();
        await expectSame(checksum, before);
        await waitFor(async () => {
          expect((await last())?.processes[0]?.memory?.pool).toMatchObject({ by: 'daemon', source });
        });
      }
    });
  });
}
