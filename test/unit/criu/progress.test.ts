// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contentBytes, dumpTransfer, runCriu } from '../../../lib/criu/index.ts';
import { exec } from '../../../lib/exec.ts';
import {
  ReadMeter,
  residentBytes,
  watchTransfer,
  type TransferProgress,
} from '../../../lib/process/index.ts';
import { createMachine, type TestMachine } from '../setup/machine.ts';

const MIB = 2 ** 20;

let dir: string;
let machine: TestMachine;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-progress-'));
  machine = createMachine();
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  machine.remove();
});

const file = (name: string, bytes: number): void => {
  writeFileSync(join(dir, name), Buffer.alloc(bytes, 1));
};

describe('a dump', () => {
  it('is measured by what is written, not by the length that a file gets first', () => {
    const read = dumpTransfer(dir, 3 * MIB);
    expect(read()).toEqual({ doneBytes: 0, totalBytes: 3 * MIB });
    file('pages-1.img', MIB);
    file('dump.log', MIB);
    truncateSync(join(dir, 'pages-1.img'), 8 * MIB);
    expect(read()).toEqual({ doneBytes: MIB, totalBytes: 8 * MIB });
    rmSync(dir, { recursive: true });
    expect(read()).toEqual({ doneBytes: 0, totalBytes: 3 * MIB });
    mkdirSync(dir);
  });

  it('is expected to be as large as the memory of its processes', () => {
    expect(residentBytes(process.pid)).toBeGreaterThan(8 * MIB);
    expect(residentBytes(4_194_303)).toBe(0);
  });

  it('is reported while criu runs', async () => {
    const pipe = join(machine.dir, 'pipe');
    await exec('mkfifo', [pipe]);
    const image = join(dir, 'pages-1.img');
    const criu = machine.script(
      'bin/criu',
      `head -c ${MIB} /dev/zero | tr '\\0' x > ${image}; read line < ${pipe}`,
    );
    const reports: TransferProgress[] = [];
    const result = await runCriu({
      stage: 'dump',
      criu,
      args: [],
      workDir: dir,
      runDir: dir,
      watch: () =>
        watchTransfer(dumpTransfer(dir, MIB), (report) => {
          reports.push(report);
          if (report.doneBytes === MIB) writeFileSync(pipe, 'go\n');
        }),
    });
    expect(result.exitCode).toBe(0);
    expect(reports.at(-1)).toEqual({ doneBytes: MIB, totalBytes: MIB });
  });
});

describe('a restore', () => {
  it('is as large as the files with the contents of memory', () => {
    file('pages-1.img', 10);
    file('cuda-7-0.img', 20);
    file('cuda-pages-7-0123456789abcdef.img', 40);
    for (const name of ['core-7.img', 'pagemap-7.img', 'cuda-7.img', 'cuda.img', 'restore.log'])
      file(name, 1000);
    expect(contentBytes(dir)).toBe(70);
  });

  it('is measured by what a process and its children read, also after their end', async () => {
    file('pages-1.img', 4 * MIB);
    // what reads says so and waits; then its shell has collected it, and counts what it has read
    const reader = `sh -c 'head -c 4M ${join(dir, 'pages-1.img')} >/dev/null; echo done; read line; :'`;
    const child = spawn('sh', ['-c', `${reader}; echo collected; read line`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const meter = new ReadMeter(100 * MIB);
    await once(child.stdout, 'data');
    const running = meter.read(child.pid ?? 0, 5).doneBytes;
    expect(running).toBeGreaterThanOrEqual(4 * MIB + 5);
    child.stdin.write('go\n');
    await once(child.stdout, 'data');
    const { doneBytes } = meter.read(child.pid ?? 0, 5);
    expect(doneBytes).toBeGreaterThanOrEqual(4 * MIB + 5);
    expect(doneBytes).toBeLessThan(6 * MIB);
    child.stdin.end();
    await once(child, 'close');
    expect(meter.read(child.pid ?? 0, 5).doneBytes).toBe(doneBytes);
    expect(new ReadMeter(MIB, process.pid).read(process.pid).totalBytes).toBe(MIB);
  });

  it('never has more than all', () => {
    expect(new ReadMeter(10).read(process.pid, 1000)).toEqual({ doneBytes: 10, totalBytes: 10 });
  });
});
