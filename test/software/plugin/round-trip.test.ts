// SPDX-License-Identifier: MIT
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { readChildren, readStat } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

it('restores device memory at the same addresses', async () => {
  const workload = await machine.start();
  const before = { checksum: await workload.verify(), addresses: await workload.addresses() };

  const dump = await machine.dump(workload);
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  expect(dump.status.filter((e) => e.event === 'step').map((e) => [e.step, e.name])).toEqual([
    ['lock', 'CUDA_SUCCESS'],
    ['checkpoint', 'CUDA_SUCCESS'],
  ]);
  expect(dump.status).toContainEqual(
    expect.objectContaining({ event: 'task', pid: workload.pid, outcome: 'dumped', prior: 'running' }),
  );

  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(restore.status.filter((e) => e.event === 'step').map((e) => [e.step, e.name])).toEqual([
    ['restore', 'CUDA_SUCCESS'],
    ['unlock', 'CUDA_SUCCESS'],
  ]);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await workload.verify()).toBe(before.checksum);
  expect(await workload.addresses()).toBe(before.addresses);
});

it('dumps two processes at the same time and restores both', async () => {
  const members = await Promise.all(
    [0, 1].map(async (i) => {
      const workload = await machine.start({ args: ['--alloc', '4Mx2', '--seed', String(i + 5)] });
      const imagesDir = join(machine.dir, `images-${i}`);
      mkdirSync(imagesDir);
      return { workload, imagesDir, before: `${await workload.verify()} ${await workload.addresses()}` };
    }),
  );
  const dumps = await Promise.all(
    members.map(({ workload, imagesDir }) => machine.dump(workload, { imagesDir, keepStatus: true })),
  );
  for (const dump of dumps) expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const dumped = machine.takeStatus().filter((e) => e.outcome === 'dumped');
  expect(dumped.map((e) => e.pid).sort()).toEqual(members.map(({ workload }) => workload.pid).sort());

  const restores = await Promise.all(
    members.map(({ imagesDir }) => machine.restore({ imagesDir, keepStatus: true })),
  );
  for (const restore of restores) expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  for (const { workload, before } of members) {
    expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
  }
});

it('restores a process to the second device', async () => {
  await machine.close();
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  const workload = await machine.start({ args: ['--alloc', '200M', '--device', '1'] });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  expect((await machine.dump(workload)).exitCode).toBe(0);
  // Only that device has enough free memory.
  await machine.start({ args: ['--alloc', '200M', '--device', '0'] });
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
});

it('leaves no trace of the device in the dumped process, and uses it again after the restore', async () => {
  const workload = await machine.start();
  await machine.dump(workload);
  const other = await machine.start({ args: ['--alloc', '240M'] });
  await other.verify();
  // The device has 256 MiB: the restored process does not fit next to the other one.
  const refused = await machine.restore();
  expect(refused.exitCode).not.toBe(0);
  expect(refused.status).toContainEqual(
    expect.objectContaining({
      event: 'task',
      outcome: 'failed',
      reason: expect.stringContaining('CUDA_ERROR_OUT_OF_MEMORY') as string,
    }),
  );
});

it('restores one image twice', async () => {
  const workload = await machine.start();
  const checksum = await workload.verify();
  await machine.dump(workload);
  for (let round = 0; round < 2; round += 1) {
    const restore = await machine.restore();
    expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
    expect(await workload.verify()).toBe(checksum);
    await machine.kill(workload.pid);
  }
});

it('keeps threads that were calling the driver', async () => {
  const workload = await machine.start({ args: ['--alloc', '4Mx4', '--threads', '3', '--streams', '2'] });
  const checksum = await workload.verify();
  expect((await machine.dump(workload)).exitCode).toBe(0);
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(await workload.verify()).toBe(checksum);
  const rounds = async (): Promise<number> => Number(/rounds=(\d+)/.exec(await workload.ask('status'))?.[1]);
  const first = await rounds();
  await expect.poll(rounds).toBeGreaterThan(first);
  expect(await workload.ask('status')).toContain('mismatch=0');
});

it.each([
  ['a tree of three CUDA processes', ['--alloc', '4Mx2', '--children', '2'], ['', 'child 0 ', 'child 1 ']],
  [
    'CUDA in the children only',
    ['--alloc', '4M', '--children', '2', '--no-cuda-parent'],
    ['child 0 ', 'child 1 '],
  ],
  ['allocations of the virtual memory API', ['--alloc', '4Mx3', '--vmm'], ['']],
])('restores %s', async (_name, args, members) => {
  const workload = await machine.start({ args });
  const before = await Promise.all(members.map((who) => workload.verify(who)));
  const addresses = await Promise.all(members.map((who) => workload.addresses(who)));
  const dump = await machine.dump(workload);
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(restore.status.filter((e) => e.outcome === 'restored')).toHaveLength(members.length);
  expect(await Promise.all(members.map((who) => workload.verify(who)))).toEqual(before);
  expect(await Promise.all(members.map((who) => workload.addresses(who)))).toEqual(addresses);
});

it('leaves no background process when criu stays as the parent of what it restored', async () => {
  const workload = await machine.start();
  const before = await workload.verify();
  await machine.dump(workload);
  const { criu, ended } = machine.restoreAndStay(variantDir('stock'));
  const background = () =>
    readChildren(process.pid).filter((pid) => {
      const stat = readStat(pid);
      return stat !== undefined && stat.state !== 'Z' && stat.comm.startsWith('cuda-');
    });
  await expect.poll(() => background().length).toBeGreaterThan(1);
  await expect.poll(background).toEqual([]);
  expect(await workload.verify()).toBe(before);
  expect(criu.exitCode).toBeNull();
  criu.kill('SIGKILL');
  await ended;
  expect(await workload.verify()).toBe(before);
});
