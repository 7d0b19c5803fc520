// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import type { Phase, TraceDocument } from '../../../lib/criu/index.ts';
import { readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';
import { readSpans, type NamedSpan } from '../../helpers/trace.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

interface Printed {
  pid: number;
  durationMs: number;
  phases: Phase[];
}

/** Types a command with a trace; returns what it printed and the spans of the trace. */
async function traced(words: readonly string[]): Promise<{ printed: Printed; spans: NamedSpan[] }> {
  const file = join(machine.dir, `${words[0] ?? ''}.json`);
  const args = [join(projectRoot, 'dist/cli.js'), '--json', ...words, '--trace', file];
  const { exitCode, stdout, stderr } = await execResult(process.execPath, args, { env: machine.env });
  expect(exitCode, stdout + stderr).toBe(0);
  const document = JSON.parse(readFileSync(file, 'utf8')) as TraceDocument;
  return { printed: JSON.parse(stdout) as Printed, spans: readSpans(document) };
}

/** The time in which at least one of the spans, which are in order, was active. */
function elapsed(spans: readonly NamedSpan[]): number {
  let until = 0;
  return spans.reduce((sum, { startMs, endMs }) => {
    const more = Math.max(0, endMs - Math.max(startMs, until));
    until = Math.max(until, endMs);
    return sum + more;
  }, 0);
}

/** Spans of the trace have whole microseconds. */
function expectDriver({ printed, spans }: Awaited<ReturnType<typeof traced>>, names: string[]): void {
  const steps = spans.filter(({ track }) => track === 'driver');
  expect(steps.map(({ name }) => name).sort()).toEqual([...names, ...names].sort());
  const phases = printed.phases.filter(({ part }) => part === 'driver');
  expect(elapsed(steps)).toBeCloseTo(
    phases.reduce((sum, { durationMs }) => sum + durationMs, 0),
    1,
  );
}

it('of a tree of two CUDA processes has the phases that the result has', async () => {
  const workload = await machine.startIntercepted({}, ['--alloc', '8Mx3', '--host', '2M', '--children', '1']);
  const checksums = [await workload.verify(), await workload.verify('child 0 ')];
  const pids = readProcessTree(workload.pid).map(({ pid }) => pid);
  const dumped = await traced(['checkpoint', String(workload.pid), machine.imagesDir]);
  await workload.ended();
  await Promise.all(pids.map((pid) => waitForExit(pid))); // orphans, whose pids the restore needs
  expectDriver(dumped, ['lock', 'checkpoint']);
  const restored = await traced(['restore', machine.imagesDir, '--detach']);
  expect([await workload.verify(), await workload.verify('child 0 ')]).toEqual(checksums);
  expectDriver(restored, ['restore', 'unlock']);
  const { printed, spans } = restored;
  const find = (track: string, name: string): NamedSpan => {
    const found = spans.find((one) => one.track === track && one.name.startsWith(name));
    if (!found) throw new Error(`there is no ${name} of ${track}`);
    return found;
  };
  const isInside = (inner: NamedSpan, outer: NamedSpan): boolean =>
    outer.startMs <= inner.startMs && inner.endMs <= outer.endMs;
  const criu = find('command', 'criu');
  expect(criu.endMs - criu.startMs).toBeCloseTo(printed.durationMs, 2);
  expect(isInside(find('criu', 'criu'), criu)).toBe(true);
  const hook = find('plugin', `RESUME_DEVICES_LATE ${printed.pid}`);
  expect(isInside(hook, criu)).toBe(true);
  for (const { track, startMs, endMs } of spans)
    if (track === 'driver') expect(startMs >= hook.startMs && endMs <= criu.endMs).toBe(true);
  // the helper is started with the command: on a busy machine, criu may be faster than it
  expect(find('pool', 'start of the device').startMs).toBeLessThan(hook.startMs);
  const load = find('pool', 'copy');
  const gate = find('device memory', 'until the gate is open');
  expect(gate.endMs).toBeGreaterThanOrEqual(load.endMs);
  expect(gate.endMs).toBeLessThan(find('command', 'restore').endMs);
});
