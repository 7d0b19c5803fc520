// SPDX-License-Identifier: MIT
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { readPageImages } from '../../../lib/images/index.ts';
import { buildDir } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import {
  hostFiles,
  pageFileMappings,
  pageFiles,
  parseKinds,
  programMappings,
} from '../../helpers/host-memory.ts';
import { waitForExit } from '../../../lib/process/index.ts';
import { Machine, type CriuOptions } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const libdir = variantDir('remap');
const MiB = 2 ** 20;
const args = ['--alloc', '4M', '--kinds'];

async function dump(workload: Workload, options: CriuOptions = {}): Promise<string> {
  const run = await machine.dump(workload, { libdir, ...options });
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
  // A restored process is our child, which we must collect.
  if (options.args === undefined) await machine.kill(workload.pid);
  return run.log;
}

async function restore(options: CriuOptions = {}): Promise<void> {
  const run = await machine.restore({ libdir, ...options });
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
}

it('leaves memory to CRIU when the page file does not fit', async () => {
  const workload = await machine.start({ args });
  const before = programMappings(workload.pid);
  const imagesDir = join(machine.dir, 'small');
  mkdirSync(imagesDir);
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=16M', 'tmpfs', imagesDir]);
  try {
    const run = await machine.dump(workload, { libdir, imagesDir, args: ['--leave-running'] });
    expect(run.log).toMatch(/host memory is left to CRIU: cuda-pages-.*: No space left on device/);
    expect(hostFiles(imagesDir)).toEqual([]);
    expect(programMappings(workload.pid)).toEqual(before);
    parseKinds(await workload.ask('kinds'));
  } finally {
    await exec('umount', ['--lazy', imagesDir]);
  }
});

it('leaves a program as it was, and no files, when the dump fails on a full disk', async () => {
  const workload = await machine.start({ args });
  await dump(workload, { args: ['--leave-running'] });
  const pageFileBytes = pageFiles(machine.imagesDir).reduce(
    (sum, file) => sum + statSync(file).blocks * 512,
    0,
  );
  const before = programMappings(workload.pid);
  const imagesDir = join(machine.dir, 'small');
  mkdirSync(imagesDir);
  // Room for the page file, but not for what is left to CRIU.
  await exec('mount', ['-t', 'tmpfs', '-o', `size=${pageFileBytes + 3 * MiB}`, 'tmpfs', imagesDir]);
  try {
    const run = await machine.dump(workload, { libdir, imagesDir });
    expect(run.exitCode).not.toBe(0);
    expect(run.log).toMatch(/bytes of host memory in \d+ mappings to cuda-pages-/);
    expect(hostFiles(imagesDir)).toEqual([]);
    expect(programMappings(workload.pid)).toEqual(before);
    parseKinds(await workload.ask('kinds'));
    expect(await workload.ask('kinds drop')).toBe('ok');
    expect(await workload.ask('kinds share')).toBe('ok');
  } finally {
    await exec('umount', ['--lazy', imagesDir]);
  }
});

it.each(['close:1', 'fsync:1'])(
  'leaves memory to CRIU when %s reports that the page file was not stored',
  async (rule) => {
    const workload = await machine.start({ args });
    const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
    const preload = join(buildDir(), 'test-tools', 'fail-io.so');
    const env = { LD_PRELOAD: preload, CCR_FAIL_IO: rule, CRIU_CUDA_SYNC: '1' };
    expect(await dump(workload, { env })).toMatch(
      /host memory is left to CRIU: cuda-pages-.*: Input\/output error/,
    );
    expect(hostFiles(machine.imagesDir)).toEqual([]);
    await restore();
    expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
  },
);

it('leaves memory to CRIU when the manifest cannot be written', async () => {
  const workload = await machine.start({ args });
  const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
  const inTheWay = join(machine.imagesDir, `cuda-host-${workload.pid}.img`);
  mkdirSync(inTheWay);
  expect(await dump(workload)).toContain(`cuda-host-${workload.pid}.img: Is a directory`);
  expect(pageFiles(machine.imagesDir)).toEqual([]);
  rmSync(inTheWay, { recursive: true });
  await restore();
  expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
});

it.each([1, 2, 4, 7, 12, 20, 41, 44, 50])(
  'leaves the task intact when injection fails at its step %i',
  async (step) => {
    const workload = await machine.start({ args });
    const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
    const preload = join(buildDir(), 'test-tools', 'fail-ptrace.so');
    const failed = await machine.dump(workload, {
      libdir,
      env: { LD_PRELOAD: preload, CCR_FAIL_PTRACE: String(step) },
    });
    expect(failed.exitCode).not.toBe(0);
    expect(failed.log).toContain('continue to a system call: Input/output error');
    expect(pageFileMappings(workload.pid)).toEqual([]);
    expect(pageFiles(machine.imagesDir)).toEqual([]);
    expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
    await dump(workload);
    await restore();
    expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
  },
);

it('refuses a missing or changed page file by name', async () => {
  const workload = await machine.start({ args });
  const before = await workload.verify();
  await dump(workload);
  const [file = ''] = pageFiles(machine.imagesDir);
  const name = file.slice(machine.imagesDir.length + 1);
  const bytes = readFileSync(file);
  const refused = async (): Promise<string> => {
    const run = await machine.restore({ libdir });
    expect(run.exitCode).not.toBe(0);
    expect(run.log).not.toContain('Forking task');
    return run.log;
  };

  renameSync(file, `${file}.away`);
  expect(await refused()).toContain(`${name}: missing`);
  writeFileSync(file, bytes.subarray(4096), { mode: 0o400 });
  expect(await refused()).toContain(`${name}: length is ${bytes.length - 4096}`);
  // Only the contents distinguish a changed copy from a correct one. They are compared when they are used.
  const changed = Buffer.from(bytes);
  changed.writeUInt8(bytes.readUInt8(70_000) ^ 1, 70_000);
  writeFileSync(file, changed);
  const wrong = await machine.restore({ libdir });
  expect(wrong.exitCode).not.toBe(0);
  expect(wrong.log).toContain(`${name}: chunk 0 at offset 0`);
  await waitForExit(workload.pid);
  writeFileSync(file, bytes);
  await restore();
  expect(await workload.verify()).toBe(before);
  parseKinds(await workload.ask('kinds'));
});

it('kills a process whose driver reads a changed page file', async () => {
  const workload = await machine.start({ args: ['--alloc', '32M'] });
  await dump(workload);
  const [image] = await readPageImages(machine.imagesDir);
  const { offset = 0 } = image?.mappings.find(({ drivers }) => drivers) ?? {};
  const [file = ''] = pageFiles(machine.imagesDir);
  const bytes = readFileSync(file);
  bytes.fill(0, offset + 8 * MiB, offset + 9 * MiB);
  writeFileSync(file, bytes);
  const run = await machine.restore({ libdir });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toMatch(/cuda-pages-.*: chunk \d+ at offset \d+: xxh3 is/);
  await waitForExit(workload.pid);
});

it('refuses a checkpoint whose manifest is missing', async () => {
  const workload = await machine.start({ args });
  await dump(workload);
  const name = `cuda-host-${workload.pid}.img`;
  rmSync(join(machine.imagesDir, name));
  const run = await machine.restore({ libdir });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toMatch(new RegExp(`Error .*${name}.*missing`));
  expect(run.log).not.toContain('Forking task');
});

it('does not use a manifest that an earlier dump left', async () => {
  const workload = await machine.start({ args });
  await dump(workload, { args: ['--leave-running'] });
  await workload.ask('kinds change');
  const files = hostFiles(machine.imagesDir);
  await dump(workload, { env: { CRIU_CUDA_REMAP: '0' } });
  expect(hostFiles(machine.imagesDir)).toEqual(files);
  await restore();
  expect(await workload.ask('kinds')).toBe('error kinds plain: wrong data');
});

it('restores from a store that is read-only', async () => {
  const workload = await machine.start({ args });
  const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
  await dump(workload);
  await exec('mount', ['--bind', machine.imagesDir, machine.imagesDir]);
  await exec('mount', ['-o', 'remount,bind,ro', machine.imagesDir]);
  try {
    const logDir = join(machine.dir, 'work');
    mkdirSync(logDir);
    const run = await machine.restore({ libdir, args: ['--work-dir', logDir] });
    expect(run.exitCode, readFileSync(join(logDir, 'restore.log'), 'utf8').slice(-3000)).toBe(0);
    expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
  } finally {
    await exec('umount', ['--lazy', machine.imagesDir]);
  }
});
