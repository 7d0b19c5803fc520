// SPDX-License-Identifier: MIT
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { operationText } from '../../../lib/commands/status.ts';
import { archiveOpStatus, opStatusPath } from '../../../lib/criu/index.ts';
import { listOperations, type OperationRecord } from '../../../lib/operations/index.ts';

const ID = 'a1b2'.repeat(16);
/** Above the kernel's limit: no process has it. */
const NO_PID = 4_194_305;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-operations-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

interface Lines {
  stage?: 'dump' | 'restore';
  time?: number;
  caller?: string;
  cgroup?: string;
  more?: string[];
  end?: number | undefined;
}

function write(path: string, { stage = 'restore', time = 0, caller, cgroup, more = [], end }: Lines): void {
  const lines = [
    `{"event":"begin","stage":"${stage}","criu":77,"version":"0.2.0","variant":"full"}`,
    `{"event":"origin","time":${time},"images":"/images","caller":"${caller ?? 'runc restore --bundle /b web'}"}`,
    ...(cgroup === undefined ? [] : [`{"event":"process","pid":5,"name":"python3","cgroup":"${cgroup}"}`]),
    ...more,
    ...(end === undefined
      ? []
      : [`{"event":"end","stage":"${stage}","ret":${end},"driver_ms":1,"hook_ms":1}`]),
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
}

const task = (outcome: string, reason?: string): string =>
  JSON.stringify({ event: 'task', pid: 5, outcome, prior: 'running', reason });

function only(lines: Lines, name = opStatusPath(dir, NO_PID)): OperationRecord {
  write(name, lines);
  const records = listOperations({ runDir: dir });
  const [record] = records;
  expect(records).toHaveLength(1);
  if (!record) throw new Error('no record');
  return record;
}

describe('the container', () => {
  it.each([
    ['podman', `0::/machine.slice/libpod-${ID}.scope`, ID],
    ['docker', `12:memory:/docker/${ID} 0::/docker/${ID}`, ID],
    ['runc', '0::/web', 'web'],
  ])('of %s is named', (engine, cgroup, id) => {
    expect(only({ cgroup, more: [task('restored')], end: 0 })).toMatchObject({
      container: { engine, id },
      caller: 'runc',
      imagesDir: '/images',
      outcome: 'succeeded',
    });
  });

  it('is none of a process outside', () => {
    const record = only({ caller: '/usr/bin/node cli.js restore DIR', cgroup: '0::/user.slice', end: 0 });
    expect(record).toMatchObject({ container: null, caller: 'node' });
  });
});

describe('the program that started criu', () => {
  it.each([
    ['/usr/bin/node /usr/local/bin/criu-cuda checkpoint 5 /images', 'criu-cuda'],
    ['node /opt/criu-cuda-toolkit/dist/cli.cjs restore /images', 'criu-cuda'],
    ['/opt/my dir/node /opt/my dir/app/dist/cli.cjs restore /my images', 'criu-cuda'],
    ['node /srv/app/server.js', 'node'],
    ['/usr/sbin/runc restore web', 'runc'],
  ])('%s is named %s', (caller, name) => {
    expect(only({ caller, end: 0 }).caller).toBe(name);
  });
});

it('a process that a dump lets run is not said to be rolled back', () => {
  const dumped = only({ stage: 'dump', more: [task('rolled-back')], end: 0 });
  expect(dumped.outcome).toBe('succeeded');
  expect(operationText(dumped)).toContain('process 5: dumped, runs on');
  const failed = only({ stage: 'dump', more: [task('rolled-back')], end: -1 });
  expect(failed.outcome).toBe('failed');
  expect(operationText(failed)).toContain('process 5: rolled back');
});

describe('the outcome', () => {
  it.each([
    ['a task failed', { more: [task('restored'), task('failed', 'damaged')], end: 0 }, 'process 5: damaged'],
    ['the plugin refused', { more: ['{"event":"failure","reason":"no driver"}'] }, 'no driver'],
    [
      'CRIU failed',
      { more: ['{"event":"failure","reason":""}'], end: -1 },
      'CRIU has failed; its log says why',
    ],
    ['criu was killed', { more: [task('restored')] }, 'criu ended before it was complete'],
    [
      'a script failed after a dump',
      { stage: 'dump' as const, end: 0, more: [task('dumped')] },
      'criu or one of its scripts failed after the dump; the processes run again',
    ],
    [
      'the memory never came',
      { end: 0, more: ['{"event":"attaching","pid":5}', task('restored')] },
      'the watcher ended before the process had its device memory',
    ],
  ])('is a failure when %s', (name, lines, reason) => {
    const path = opStatusPath(dir, NO_PID);
    write(path, lines);
    if (name.startsWith('a script')) writeFileSync(path, `${task('rolled-back')}\n`, { flag: 'a' });
    expect(listOperations({ runDir: dir })).toMatchObject([{ outcome: 'failed', reason }]);
  });

  it('is a success of a dump that left its processes running', () => {
    const record = only({ stage: 'dump', more: [task('rolled-back')], end: 0 });
    expect(record).toMatchObject({ outcome: 'succeeded', reason: null });
  });

  it('is open while criu runs', () => {
    expect(only({}, opStatusPath(dir, process.pid))).toMatchObject({ outcome: 'running' });
  });
});

it('warns of memory that went through the driver without an interceptor', () => {
  const reason = 'it has no interceptor';
  const memory = { event: 'memory', pid: 5, driver_bytes: 1 << 20, page_bytes: 0, criu_bytes: 0, reason };
  const record = only({ stage: 'dump', more: [JSON.stringify(memory), task('dumped')], end: 0 });
  expect(record.warnings).toEqual([`device memory of 5 went through the driver because ${reason}`]);
  expect(operationText(record)).toContain(`warning: ${record.warnings[0]}`);
});

describe("CRIU's log", () => {
  const failed = { stage: 'dump' as const, more: ['{"event":"failure","reason":""}'], end: -1 };
  const error = "Error (criu/files-reg.c:1816): Can't lookup mount=28 for fd=1 path=/tmp/out.log\n";

  it.each(['dump.log', 'criu-dump.log'])('%s says why CRIU has failed', (name) => {
    const work = join(dir, 'work');
    mkdirSync(work);
    writeFileSync(join(work, name), error);
    const caller = `/usr/bin/runc checkpoint --work-path ${work} web`;
    expect(only({ ...failed, caller, time: Date.now() })).toMatchObject({
      reason: "Can't lookup mount=28 for fd=1 path=/tmp/out.log",
      hint: expect.stringContaining('stdout in a file of the host') as string,
      log: join(work, name),
    });
  });

  it('of another run is not used', () => {
    writeFileSync(join(dir, 'dump.log'), error);
    utimesSync(join(dir, 'dump.log'), 1, 1);
    const caller = `runc checkpoint --work-path ${dir} web`;
    expect(only({ ...failed, caller, time: Date.now() })).toMatchObject({ hint: null, log: null });
  });
});

describe('the history', () => {
  it('has what was collected and what nobody collects, the latest last', () => {
    write(opStatusPath(dir, NO_PID), { time: 2000, end: 0 });
    archiveOpStatus(dir, NO_PID);
    write(opStatusPath(dir, NO_PID), { time: 3000, end: 0 });
    mkdirSync(join(dir, 'history'), { recursive: true });
    write(join(dir, 'history', 'op-7-1-1.jsonl'), { time: 1000, end: 0 });
    expect(listOperations({ runDir: dir }).map(({ timeMs }) => timeMs)).toEqual([1000, 2000, 3000]);
    expect(listOperations({ runDir: dir, last: 1 }).map(({ timeMs }) => timeMs)).toEqual([3000]);
    expect(readdirSync(dir)).toHaveLength(2);
  });

  it('keeps the latest 64', () => {
    for (let i = 1; i <= 70; i++) {
      const path = opStatusPath(dir, NO_PID);
      write(path, { time: i, end: 0 });
      utimesSync(path, i, i);
      archiveOpStatus(dir, NO_PID);
    }
    const times = listOperations({ runDir: dir }).map(({ timeMs }) => timeMs);
    expect(times).toEqual(Array.from({ length: 64 }, (_, i) => i + 7));
  });

  it('is as long in C', () => {
    const source = readFileSync('plugins-cuda/common/status_history.c', 'utf8');
    expect(source).toMatch(/#define HISTORY_FILES 64$/m);
  });

  it('is empty without a run directory', () => {
    expect(listOperations({ runDir: join(dir, 'none') })).toEqual([]);
  });
});
