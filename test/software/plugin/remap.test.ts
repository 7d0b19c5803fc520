// SPDX-License-Identifier: MIT
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { readPageImages } from '../../../lib/images/index.ts';
import { buildDir } from '../../../lib/paths.ts';
import { isAlive, readChildren, readStat } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import {
  pageFileMappings,
  pageFiles,
  pageImageBytes,
  parseKinds,
  programMappings,
  readMappings,
  savedKinds,
} from '../../helpers/host-memory.ts';
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

it("keeps the device memory of a program without the interceptor out of CRIU's images", async () => {
  const workload = await machine.start({ args: ['--alloc', '32Mx6', '--host', '8M'] });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  await dump(workload);
  expect(pageImageBytes(machine.imagesDir)).toBeLessThan(4 * MiB);
  for (let round = 0; round < 2; round += 1) {
    await restore();
    expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
    if (round === 0) await machine.kill(workload.pid);
  }
});

it('populates the memory the driver saves to in advance', async () => {
  const workload = await machine.start({ args: ['--alloc', '224M'] });
  const before = await workload.verify();
  expect(await dump(workload)).toMatch(/: [1-9]\d* bytes populated ahead of the driver/);
  await restore();
  expect(await workload.verify()).toBe(before);
});

it('keeps every kind of mapping of a tree, and stores those that can be emptied', async () => {
  const workload = await machine.start({ args: [...args, '--children', '2'] });
  const requests = ['kinds', 'child 0 kinds', 'child 1 kinds'];
  const ask = (): Promise<string[]> => Promise.all(requests.map((request) => workload.ask(request)));
  const before = (await ask()).map(parseKinds);
  const kinds = before[0] ?? new Map<string, number>();
  const at = (name: string) => {
    const address = kinds.get(name) ?? 0;
    return readMappings(workload.pid).find(({ start, end }) => address >= start && address < end);
  };
  const advised = ['dontfork', 'dontdump', 'hugepage', 'nohugepage'].filter((name) => kinds.has(name));
  const flagsOf = (name: string) => at(name)?.flags.filter((flag) => /^(dc|dd|hg|nh)$/.test(flag));
  const flags = advised.map(flagsOf);

  await dump(workload);
  await restore();
  expect((await ask()).map(parseKinds)).toEqual(before);
  expect(advised.map(flagsOf)).toEqual(flags);
  // The children do not have these two; CRIU restores the others as shared by copy-on-write.
  const own = ['dontfork', 'wipeonfork'].filter((name) => kinds.has(name));
  expect(await savedKinds(machine.imagesDir, kinds)).toEqual(own);
  expect(pageFileMappings(workload.pid)).toEqual([]);
  expect(at('readonly')?.permissions).toBe('r--p');
  expect(at('executable')?.permissions).toBe('rwxp');
  expect(await workload.ask('kinds exec')).toBe('ok');
  for (const file of pageFiles(machine.imagesDir)) expect(statSync(file).mode & 0o7777).toBe(0o400);
  // Stacks were being written to during the dump, and still are.
  const rounds = async (): Promise<number> =>
    Number(/rounds=(\d+)/.exec(await workload.ask('child 1 kinds'))?.[1]);
  const first = await rounds();
  await expect.poll(rounds).toBeGreaterThan(first);
});

it('saves shared memory that no other process maps, and restores it as shared', async () => {
  const workload = await machine.start({ args });
  const kinds = parseKinds(await workload.ask('kinds'));
  const address = kinds.get('shared') ?? 0;
  const isAt = ({ start, end }: { start: number; end: number }) => address >= start && address < end;
  await dump(workload);
  const [image] = await readPageImages(machine.imagesDir);
  expect(image?.mappings.filter(({ shared }) => shared)).toMatchObject([{ address: BigInt(address) }]);
  for (let round = 0; round < 2; round += 1) {
    await restore();
    expect(parseKinds(await workload.ask('kinds'))).toEqual(kinds);
    expect(readMappings(workload.pid).find(isAt)?.permissions).toBe('rw-s');
    expect(await workload.ask('kinds share')).toBe('ok');
    if (round === 0) await machine.kill(workload.pid);
  }
  // CRIU restores it under another name.
  await dump(workload);
  const [again] = await readPageImages(machine.imagesDir);
  expect(again?.mappings.filter(({ shared }) => shared)).toMatchObject([{ address: BigInt(address) }]);
});

it('restores the same bytes again after the restored process has written to them', async () => {
  const workload = await machine.start({ args });
  await dump(workload);
  const files = pageFiles(machine.imagesDir).map((path) => [path, readFileSync(path)] as const);
  await restore();
  await workload.ask('kinds change');
  expect(await workload.ask('kinds')).toBe('error kinds plain: wrong data');
  for (const [path, bytes] of files) expect(readFileSync(path).equals(bytes)).toBe(true);
  await machine.kill(workload.pid);
  await restore();
  parseKinds(await workload.ask('kinds'));
});

it('dumps a restored process to images that do not depend on the first ones', async () => {
  const workload = await machine.start({ args });
  const before = await workload.verify();
  const imagesDir = join(machine.dir, 'second');
  mkdirSync(imagesDir);
  await dump(workload);
  await restore();
  await workload.ask('kinds change');
  await dump(workload, { imagesDir });
  expect(pageFiles(imagesDir)).toHaveLength(1);
  rmSync(machine.imagesDir, { recursive: true });
  await restore({ imagesDir });
  expect(await workload.ask('kinds')).toBe('error kinds plain: wrong data');
  expect(await workload.verify()).toBe(before);
});

it('dumps over the images from which the process was restored', async () => {
  const workload = await machine.start({ args });
  for (let round = 0; round < 2; round += 1) {
    await dump(workload);
    expect(pageFiles(machine.imagesDir)).toHaveLength(1);
    await restore();
    parseKinds(await workload.ask('kinds'));
  }
});

it('leaves the memory of a process that keeps running unchanged', async () => {
  const workload = await machine.start({ args });
  const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
  await dump(workload, { args: ['--leave-running'] });
  expect(pageFiles(machine.imagesDir)).toHaveLength(1);
  expect(pageFileMappings(workload.pid)).toEqual([]);
  expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
  await dump(workload);
  await restore();
  expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
});

it('has the same mappings after 8 dumps that leave it running', async () => {
  const workload = await machine.start({ args });
  const before = programMappings(workload.pid);
  for (let round = 0; round < 8; round += 1) {
    await dump(workload, { args: ['--leave-running'] });
    expect(programMappings(workload.pid)).toEqual(before);
    parseKinds(await workload.ask('kinds'));
  }
  expect(await workload.ask('kinds drop')).toBe('ok');
  expect(await workload.ask('kinds share')).toBe('ok');
});

it('restores the protection and the flags of what it stored', async () => {
  const workload = await machine.start({ args });
  const kinds = parseKinds(await workload.ask('kinds'));
  const flagsOf = () =>
    [...kinds].map(([name, address]) => {
      const found = readMappings(workload.pid).find(({ start, end }) => address >= start && address < end);
      return [name, found?.permissions, found?.flags.filter((flag) => flag !== 'sd')];
    });
  const before = flagsOf();
  await dump(workload);
  const saved = await savedKinds(machine.imagesDir, kinds);
  const left = ['small', 'none', 'executable', 'locked', 'growsdown', 'guarded'];
  expect(saved).toEqual([...kinds.keys()].filter((name) => !left.includes(name)));
  await restore();
  expect(flagsOf().filter(([name]) => saved.includes(String(name)))).toEqual(
    before.filter(([name]) => saved.includes(String(name))),
  );
  expect(await workload.ask('kinds drop')).toBe('ok');
  expect(await workload.ask('kinds share')).toBe('ok');
  expect(parseKinds(await workload.ask('kinds'))).toEqual(kinds);
});

it('needs no more address space than CRIU itself', async () => {
  const workload = await machine.start({ args });
  const kinds = parseKinds(await workload.ask('kinds'));
  const kib = Number(/VmSize:\s+(\d+)/.exec(readFileSync(`/proc/${workload.pid}/status`, 'utf8'))?.[1]);
  await exec('prlimit', ['--pid', String(workload.pid), `--as=${kib * 1024 + 16 * MiB}`]);
  const before = programMappings(workload.pid);
  await dump(workload, { args: ['--leave-running'] });
  expect(programMappings(workload.pid)).toEqual(before);
  await dump(workload);
  expect(await savedKinds(machine.imagesDir, kinds)).toContain('holes');
  await restore();
  expect(parseKinds(await workload.ask('kinds'))).toEqual(kinds);
});

it('remaps a process whose seccomp filter forbids the injected calls', async () => {
  const workload = await machine.start({ args: [...args, '--seccomp'] });
  const before = await workload.verify();
  await dump(workload);
  expect(pageFiles(machine.imagesDir)).toHaveLength(1);
  await restore();
  expect(await workload.verify()).toBe(before);
  parseKinds(await workload.ask('kinds'));
});

it('remaps a process without the permission to suspend filters', async () => {
  const workload = await machine.start({ args: ['--alloc', '224M', '--kinds'] });
  const before = [await workload.verify(), parseKinds(await workload.ask('kinds'))];
  const preload = join(buildDir(), 'test-tools', 'fail-ptrace.so');
  const env = { LD_PRELOAD: preload, CCR_FAIL_PTRACE: 'seccomp' };
  expect(await dump(workload, { env })).toMatch(/: [1-9]\d* bytes populated ahead of the driver/);
  expect(pageFiles(machine.imagesDir)).toHaveLength(1);
  await restore({ env });
  expect([await workload.verify(), parseKinds(await workload.ask('kinds'))]).toEqual(before);
});

it('leaves all memory to CRIU with CRIU_CUDA_REMAP=0', async () => {
  const workload = await machine.start({ args });
  await dump(workload, { env: { CRIU_CUDA_REMAP: '0' } });
  expect(pageFiles(machine.imagesDir)).toEqual([]);
  await restore();
  parseKinds(await workload.ask('kinds'));
});

it('moves only mappings of at least CRIU_CUDA_REMAP_MIN_MB', async () => {
  const workload = await machine.start({ args: ['--alloc', '16M', '--kinds'] });
  await dump(workload, { env: { CRIU_CUDA_REMAP_MIN_MB: '8' } });
  await restore();
  parseKinds(await workload.ask('kinds'));
  const [image] = await readPageImages(machine.imagesDir);
  const mapped = image?.mappings.filter(({ drivers }) => drivers) ?? [];
  expect(mapped).toHaveLength(1);
  for (const { size } of [...mapped, ...(image?.emptied ?? [])]) expect(size).toBeGreaterThanOrEqual(8 * MiB);
});

it('works with images on a file system mounted noexec', async () => {
  const workload = await machine.start({ args });
  const imagesDir = join(machine.dir, 'noexec');
  mkdirSync(imagesDir);
  await exec('mount', ['-t', 'tmpfs', '-o', 'noexec', 'tmpfs', imagesDir]);
  try {
    await dump(workload, { imagesDir });
    expect(pageFiles(imagesDir)).toHaveLength(1);
    await restore({ imagesDir });
    parseKinds(await workload.ask('kinds'));
    expect(await workload.ask('kinds exec')).toBe('ok');
  } finally {
    await exec('umount', ['--lazy', imagesDir]);
  }
});

it('reads page files ahead from a disk, but not from memory', async () => {
  const workload = await machine.start({ args });
  const before = await workload.verify();
  const imagesDir = mkdtempSync(join(tmpdir(), 'ccr-remap-'));
  try {
    await dump(workload, { imagesDir });
    const onDisk = (await exec('stat', ['-f', '-c', '%T', imagesDir])).stdout.trim() !== 'tmpfs';
    for (const [readahead, isRead] of [
      ['1', onDisk],
      ['0', false],
    ] as const) {
      const run = await machine.restore({ libdir, imagesDir, env: { CRIU_CUDA_READAHEAD: readahead } });
      expect(run.exitCode, run.log.slice(-3000)).toBe(0);
      expect(run.log.includes(`reading ahead in ${imagesDir}`)).toBe(isRead);
      expect(await workload.verify()).toBe(before);
      await machine.kill(workload.pid);
    }
  } finally {
    rmSync(imagesDir, { recursive: true });
  }
});

it('does not wait for a FIFO among the page files', async () => {
  const workload = await machine.start({ args });
  const before = await workload.verify();
  const imagesDir = mkdtempSync(join(tmpdir(), 'ccr-remap-'));
  try {
    await dump(workload, { imagesDir });
    await exec('mkfifo', [join(imagesDir, 'cuda-pages-fifo.img')]);
    const run = await machine.restore({ libdir, imagesDir, env: { CRIU_CUDA_READAHEAD: '1' } });
    expect(run.exitCode, run.log.slice(-3000)).toBe(0);
    expect(await workload.verify()).toBe(before);
    const readers = (): number[] =>
      readChildren(process.pid).filter((pid) => readStat(pid)?.comm === 'cuda-readahead' && isAlive(pid));
    await expect.poll(readers).toEqual([]);
  } finally {
    rmSync(imagesDir, { recursive: true });
  }
});

it('restores images that were moved if their old path leads to them', async () => {
  const workload = await machine.start({ args });
  await dump(workload);
  const imagesDir = join(machine.dir, 'moved');
  renameSync(machine.imagesDir, imagesDir);
  const run = await machine.restore({ libdir, imagesDir });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toContain(`CRIU looks for it in ${machine.imagesDir}`);
  expect(run.log).toContain('; make a symbolic link there');
  symlinkSync(imagesDir, machine.imagesDir);
  await restore({ imagesDir });
  parseKinds(await workload.ask('kinds'));
});

it('names the directory of the dump to one who restores a copy beside it', async () => {
  const workload = await machine.start({ args });
  await dump(workload);
  const imagesDir = join(machine.dir, 'copy');
  cpSync(machine.imagesDir, imagesDir, { recursive: true });
  const run = await machine.restore({ libdir, imagesDir });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toContain(
    `CRIU looks for it in ${machine.imagesDir}, where the dump wrote it; restore from there`,
  );
  await restore({});
  parseKinds(await workload.ask('kinds'));
});
