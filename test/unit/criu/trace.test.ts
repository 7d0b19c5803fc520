// SPDX-License-Identifier: MIT
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseOpStatus, traceDocument, withTrace, type TraceDocument } from '../../../lib/criu/index.ts';
import { UsageError } from '../../../lib/errors.ts';
import { readSpans } from '../../helpers/trace.ts';

const status = parseOpStatus(
  [
    '{"event":"begin","stage":"restore","criu":77,"version":"0.3.0","variant":"full","at":1030.000}',
    '{"event":"process","pid":12,"name":"engine","cgroup":"/","at":1050.000}',
    '{"event":"remap","pid":12,"copy_ms":10.000,"map_ms":0,"at":1070.000}',
    '{"event":"step","pid":12,"step":"restore","result":0,"name":"CUDA_SUCCESS","ms":20.000,"at":1090.000}',
    '{"event":"span","pid":12,"part":"hook","name":"RESUME_DEVICES_LATE","start":1055.000,"end":1095.000,"at":1095.000}',
    '{"event":"span","pid":77,"part":"hook","name":"init","start":1025.000,"end":1031.000,"at":1096.000}',
    '{"event":"thread","pid":12,"number":3,"start":1040.000,"ms":9.000,"slice_ms":4,"host_ms":[4.0,1.0,0.5],"device_ms":[0.0,3.0,0.5],"at":1097.000}',
    '',
  ].join('\n'),
);

const log = [
  '(00.000000) Version: 4.2.1',
  '(00.000100) Probing',
  '(00.020100) cuda_plugin: monotonic clock: 1024.100 ms',
  '(00.030000) Forking task with 12 pid (flags 0x0)',
  '(00.035000)     12: Restoring resources',
  'no time',
  '(00.045000) pie: 12: 12: Restored',
  '(00.047000) Run late stage hook',
].join('\n');

const times = {
  ...{ programStartMs: 900, calledMs: 950, endedMs: 1200 },
  criu: { criuPid: 77, startedMs: 1000, durationMs: 120, status },
};

it('puts command, criu, hooks, driver and memory on one clock', () => {
  const document = traceDocument('restore', times, log);
  expect(document.otherData).toEqual({ clock: 'CLOCK_MONOTONIC', originMs: 900 });
  const spans = readSpans(document).map(
    ({ process, track, name, startMs, endMs }) => `${process}/${track}/${name} ${startMs}-${endMs}`,
  );
  expect(spans).toEqual([
    'criu-cuda/command/restore 0-300',
    'criu-cuda/command/start of the program 0-50',
    'criu-cuda/command/preparation 50-100',
    'criu-cuda/command/criu 100-220',
    'criu/criu/criu 104-151',
    'criu/criu/Probing 104.1-124.1',
    'criu/criu/cuda_plugin: monotonic clock: 1024.100 ms 124.1-134',
    'criu/plugin/init 125-131',
    'criu/criu/Forking task with 12 pid (flags 0x0) 134-151',
    'criu/restores 12/restores 12 139-149',
    'criu/restores 12/Restoring resources 139-149',
    'criu/plugin/RESUME_DEVICES_LATE 12 155-195',
    'engine (12)/host memory/copy 160-170',
    'engine (12)/driver/restore 170-190',
    'criu-cuda/command/after criu 220-300',
  ]);
  expect(
    document.traceEvents
      .filter(({ ph }) => ph === 'C')
      .map(({ name, ts, args }) => [name, ts / 1000, args?.host, args?.device]),
  ).toEqual([
    ['pool thread 3, %', 140, 100, 0],
    ['pool thread 3, %', 144, 25, 75],
    ['pool thread 3, %', 148, 13, 13],
    ['pool thread 3, %', 149, 0, 0],
  ]);
});

it('takes the start of criu for that of its log, if the plugin has written no time', () => {
  const plain = { ...times, criu: { ...times.criu, status: undefined } };
  const spans = readSpans(traceDocument('checkpoint', plain, '(00.001000) a\n(00.002000) b\n'));
  expect(spans.find(({ process }) => process === 'criu')).toMatchObject({ startMs: 101, endMs: 102 });
});

it('is written for an operation that fails, and refused before it begins where there can be no file', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ccr-trace-'));
  const file = join(dir, 'trace.json');
  const fail = (): Promise<never> => Promise.reject(new Error('no criu'));
  await expect(withTrace('restore', file, fail, () => [])).rejects.toThrow('no criu');
  const document = JSON.parse(readFileSync(file, 'utf8')) as TraceDocument;
  expect(readSpans(document).map(({ name }) => name)).toEqual(['restore']);
  let hasBegun = false;
  const begin = (): Promise<void> => {
    hasBegun = true;
    return Promise.resolve();
  };
  await expect(withTrace('restore', join(dir, 'missing', 'trace.json'), begin, () => [])).rejects.toThrow(
    UsageError,
  );
  expect(hasBegun).toBe(false);
  expect(existsSync(join(dir, 'missing'))).toBe(false);
  rmSync(dir, { recursive: true });
});

it('is a warning where it cannot be written at the end: what was done is done', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ccr-trace-'));
  const file = join(dir, 'trace.json');
  const losesFile = (): Promise<string[]> => {
    rmSync(file);
    mkdirSync(file);
    return Promise.resolve(['first']);
  };
  expect(await withTrace('restore', file, losesFile, (warnings) => warnings)).toEqual([
    'first',
    expect.stringMatching(/^cannot write the trace: .*EISDIR/),
  ]);
  const fails = (): Promise<never> => {
    rmSync(file, { recursive: true, force: true });
    mkdirSync(file);
    return Promise.reject(new Error('no criu'));
  };
  rmSync(file, { recursive: true });
  await expect(withTrace('restore', file, fails, () => [])).rejects.toThrow('no criu');
  rmSync(dir, { recursive: true });
});
