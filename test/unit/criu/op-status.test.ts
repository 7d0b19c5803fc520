// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  collectStatus,
  listOpStatus,
  opStatusPath,
  parseOpStatus,
  readOpStatus,
  removeOpStatus,
} from '../../../lib/criu/index.ts';

const begin = '{"event":"begin","stage":"restore","criu":77,"version":"0.1.0","variant":"stock"}';
const lines = [
  begin,
  '{"event":"watcher","pid":80}',
  '{"event":"step","pid":12,"step":"restore","result":0,"name":"CUDA_SUCCESS","ms":301.250,"new":true}',
  '{"event":"step","pid":12,"step":"unlock","result":999,"name":"CUDA_ERROR_UNKNOWN","ms":1.500}',
  '{"event":"task","pid":12,"outcome":"failed","prior":"checkpointed","reason":"cuCheckpointProcessUnlock: CUDA_ERROR_UNKNOWN"}',
  '{"event":"remap","pid":12,"bytes":4096,"mappings":1,"copy_ms":5.250,"map_ms":2.000}',
  '{"event":"late_failed","pid":12}',
  '{"event":"from-the-future","pid":12}',
  '{"event":"end","stage":"restore","ret":-5,"driver_ms":302.750,"hook_ms":304.000}',
  '',
];

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-status-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('the status file', () => {
  it('is read completely, except for unknown events', () => {
    expect(parseOpStatus(lines.join('\n'))).toEqual({
      version: '0.1.0',
      variant: 'stock',
      plugin: undefined,
      origin: undefined,
      processes: [],
      failure: undefined,
      isUndone: false,
      memory: [],
      fallbacks: [],
      stage: 'restore',
      steps: [
        { pid: 12, step: 'restore', result: 0, name: 'CUDA_SUCCESS', ms: 301.25 },
        { pid: 12, step: 'unlock', result: 999, name: 'CUDA_ERROR_UNKNOWN', ms: 1.5 },
      ],
      tasks: [
        {
          pid: 12,
          outcome: 'failed',
          prior: 'checkpointed',
          reason: 'cuCheckpointProcessUnlock: CUDA_ERROR_UNKNOWN',
        },
      ],
      watcherPids: [80],
      poolPid: undefined,
      attaching: [],
      inPool: [],
      hostMemoryMs: 7.25,
      hasLateFailed: true,
      end: { ret: -5, driverMs: 302.75, hookMs: 304 },
      timeline: { spans: [], threads: [] }, // of an earlier version: no line has a time
    });
  });

  it('keeps the latest outcome of each task', () => {
    const task = (outcome: string): string =>
      `{"event":"task","pid":5,"outcome":"${outcome}","prior":"running"}\n`;
    const status = parseOpStatus(`${begin}\n${task('dumped')}${task('rolled-back')}`);
    expect(status?.tasks).toEqual([{ pid: 5, outcome: 'rolled-back', prior: 'running' }]);
    expect(status?.end).toBeUndefined();
  });

  it('keeps the reason of the plugin, which killed the process before the pool noticed', () => {
    const task = '{"event":"task","pid":5,"outcome":"failed","prior":"checkpointed","reason":"damaged"}';
    const attach = '{"event":"attach","pid":5,"result":-3,"ms":1,"reason":"the process ended"}';
    expect(parseOpStatus([begin, task, attach, ''].join('\n'))?.tasks).toEqual([
      { pid: 5, outcome: 'failed', prior: 'checkpointed', reason: 'damaged' },
    ]);
  });

  it.each([
    ['going out', ['evicting'], 'out'],
    ['saved', ['evicting', 'evict'], 'saved'],
    ['going back', ['evicting', 'evict', 'attaching'], 'in'],
    ['back', ['evicting', 'evict', 'attaching', 'attach'], undefined],
    ['being restored', ['attaching'], 'in'],
  ])('knows of device memory that it is %s', (_, events, way) => {
    const rest = '"pid":5,"operation":4096,"result":0,"ms":1,"reason":""';
    const text = events.map((event) => `{"event":"${event}",${rest}}\n`).join('');
    const expected = way === undefined ? [] : [{ pid: 5, operation: 4096, way }];
    expect(parseOpStatus(`${begin}\n${text}`)?.inPool).toEqual(expected);
  });

  it('forgets device memory that a process has kept', () => {
    const text = '{"event":"evicting","pid":5,"operation":1}\n{"event":"evict","pid":5,"result":-5}\n';
    expect(parseOpStatus(`${begin}\n${text}`)?.inPool).toEqual([]);
  });

  it('may end in the middle of a line, as criu was killed', () => {
    expect(parseOpStatus(`${begin}\n{"event":"task","pi`)?.tasks).toEqual([]);
    expect(parseOpStatus('{"event":"beg')).toBeUndefined();
  });

  it.each([
    ['no JSON', 'nonsense'],
    ['a wrong type', '{"event":"task","pid":"12","outcome":"failed","prior":"running"}'],
    ['an unknown outcome', '{"event":"task","pid":12,"outcome":"lost","prior":"running"}'],
  ])('with %s is refused, naming the line', (_, line) => {
    expect(() => parseOpStatus(`${begin}\n${line}\n`)).toThrow('line 2 of the plugin');
  });

  it('belongs to one run of criu', () => {
    expect(readOpStatus(dir, 77)).toBeUndefined();
    writeFileSync(opStatusPath(dir, 77), lines.join('\n'));
    writeFileSync(join(dir, 'op-78-1.jsonl'), lines.join('\n')); // of another PID namespace
    expect(readOpStatus(dir, 78)).toBeUndefined();
    expect(listOpStatus(dir)).toEqual([77]);
    expect(readOpStatus(dir, 77)?.steps).toHaveLength(2);
    removeOpStatus(dir, 77);
    expect(existsSync(opStatusPath(dir, 77))).toBe(false);
  });

  it('is removed after a run that ended before its first line', async () => {
    const path = opStatusPath(dir, 78);
    for (const text of ['', '{"event":"beg', '{"event":"watcher","pid":80}\n']) {
      writeFileSync(path, text);
      expect(await collectStatus(dir, 78)).toBeUndefined();
      expect(existsSync(path), text).toBe(false);
    }
  });
});
