// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { changeText, snapshotText } from '../../../lib/commands/context.ts';
import {
  compareSnapshots,
  OverheadMeter,
  type ContextSnapshot,
  type GpuContext,
} from '../../../lib/context/index.ts';

const MIB = 2 ** 20;
const uuid = 'GPU-736f6674-6375-6461-0000-000100000000';
const context: GpuContext = {
  pid: 4_194_303,
  startTime: 5,
  command: 'python3 -m some.inference.server --model a/very/long/name/of/a/model --port 8000',
  container: { engine: 'containerd', id: '0123456789abcdef'.repeat(4), podUid: null },
  deviceUuid: uuid,
  mig: { gpuInstanceId: 13, computeInstanceId: 6 },
  usedBytes: 1023 * MIB,
  state: 'checkpointed',
  owner: { kind: 'application', operation: 4_294_967_295, poolPid: 4_194_302, criuPid: 4_194_301 },
  interceptor: { tid: 6, gate: 'closed' },
  isPrimary: null,
};
const pool: ContextSnapshot['pool'] = {
  version: '0.2.0',
  pid: 4_194_302,
  streams: 24,
  stagingBytes: 1536 * MIB,
  contexts: [{ uuid, memoryBytes: 140 * 1024 * MIB, overheadBytes: 512 * MIB }],
  operations: [
    {
      kind: 'restore',
      state: 'attaching',
      operation: 4_294_967_295,
      pid: 4_194_303,
      imagePid: 1,
      criuPid: 4_194_301,
      doneBytes: 1023 * MIB,
      totalBytes: 1023 * MIB,
    },
  ],
};

describe('the table of contexts', () => {
  it('fits 100 columns with the longest of everything', () => {
    const held = { ...context, owner: { ...context.owner, kind: 'held' as const } };
    const text = snapshotText({ contexts: [context, held], pool });
    const widths = text.split('\n').map((line) => line.length);
    expect(Math.max(...widths)).toBeLessThanOrEqual(100);
    expect(text).toContain('GPU-736f6674 13/6');
    expect(text).toContain('containerd 0123456789ab');
    expect(text).toContain('pool 4194302');
    expect(text).toContain('criu 4194301');
    expect(text).toMatch(/GPU-736f6674-6375-6461-0000-000100000000 +140 GiB +512 MiB/);
    expect(text).toMatch(/4294967295 +restore +attaching +4194303 +4194301 +1023 MiB of 1023 MiB/);
  });

  it('has a dash for what is not known', () => {
    const text = snapshotText({
      contexts: [
        { ...context, container: null, deviceUuid: null, mig: null, usedBytes: null, interceptor: null },
      ],
      pool: null,
    });
    expect(text).toMatch(/4194303 +– +– +checkpointed +application +– +python3 -m/);
    expect(snapshotText({ contexts: [], pool: null })).toBe('no CUDA process that this user may look at');
    expect(snapshotText({ contexts: [], pool: null }, 4711)).toContain('process 4711 does not exist');
  });
});

describe('a change', () => {
  const before: ContextSnapshot = { contexts: [context], pool };
  const running = { ...context, state: 'running' as const };

  it('begins with everything', () => {
    expect(compareSnapshots(undefined, before)).toEqual({
      snapshot: before,
      appeared: [context],
      changed: [],
      gone: [],
      isPoolChanged: true,
    });
    const nothing = { contexts: [], pool: null };
    expect(compareSnapshots(undefined, nothing)?.snapshot).toBe(nothing);
  });

  it('is none when nothing is different', () => {
    expect(compareSnapshots(before, structuredClone(before))).toBeUndefined();
  });

  it('names what is different', () => {
    const another = { ...context, pid: 8 };
    const after = { contexts: [running, another], pool: null };
    const change = compareSnapshots(before, after);
    expect(change).toMatchObject({ appeared: [another], gone: [], isPoolChanged: true });
    expect(change?.changed).toEqual([{ previous: context, current: running }]);
    expect(compareSnapshots(after, { ...after, contexts: [another] })?.gone).toEqual([running]);
  });

  it('of a pid that another process has now is an end and a beginning', () => {
    const other = { ...context, startTime: 6 };
    expect(compareSnapshots(before, { ...before, contexts: [other] })).toMatchObject({
      appeared: [other],
      changed: [],
      gone: [context],
    });
  });

  it('is a line of text', () => {
    const change = compareSnapshots(before, { contexts: [running], pool });
    expect(change && changeText(change)).toBe(
      '4194303 GPU-736f6674 13/6: checkpointed, 1023 MiB, application, gate closed → running, 1023 MiB, application, gate closed',
    );
  });
});

describe("the memory of the daemon's contexts", () => {
  const gpu = {
    pid: 9,
    deviceUuid: uuid,
    usedBytes: 700 * MIB,
    gpuInstanceId: null,
    computeInstanceId: null,
  };
  const own = { uuid, memoryBytes: 200 * MIB };

  it('is what NVML reports beyond what is in them', () => {
    expect(new OverheadMeter().measure(9, own, true, [gpu])).toEqual({ ...own, overheadBytes: 500 * MIB });
  });

  it('is not taken from moments with operations, but known from before', () => {
    const meter = new OverheadMeter();
    expect(meter.measure(9, own, false, [gpu]).overheadBytes).toBeNull();
    meter.measure(9, own, true, [gpu]);
    const twice = { ...gpu, usedBytes: 900 * MIB };
    expect(meter.measure(9, own, false, [twice]).overheadBytes).toBe(500 * MIB);
  });

  it('is null without NVML, or on a GPU it does not name', () => {
    expect(new OverheadMeter().measure(9, own, true, []).overheadBytes).toBeNull();
    expect(new OverheadMeter().measure(9, { ...own, uuid: 'MIG-1' }, true, [gpu]).overheadBytes).toBeNull();
  });
});
