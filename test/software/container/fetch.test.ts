// SPDX-License-Identifier: MIT
/**
 * Containers with their own root, PID namespace and user namespace, and without CAP_SYS_PTRACE: their programs are
 * dumped and restored with all of their device memory, and nothing of ours is left in them.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  removeContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { exec } from '../../../lib/exec.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { targets } from '../../helpers/same-program.ts';
import { waitFor } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-fetch-${process.pid}`;

let machine: Machine;
let socketPath: string;
let shared: string;

beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  chmodSync(machine.dir, 0o1777);
  shared = join(machine.dir, 'shared');
  for (const dir of [shared, join(machine.dir, 'devices')]) {
    mkdirSync(dir);
    chmodSync(dir, 0o1777);
  }
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  socketPath = join(shared, 'w.sock');
});
afterEach(async () => {
  await removeContainer(name);
  vi.unstubAllEnvs();
  await machine.close();
});

const ask = (request: string): Promise<string> =>
  waitFor(() => askWorkload(socketPath, request, 10_000), { interval: 20 });
const checksum = async (): Promise<string> => /checksum=(\w+)/.exec(await ask('verify'))?.[1] ?? 'none';

async function look(): Promise<{
  sockets: number;
  threads: string[];
  mailboxes: number;
  capabilities: bigint;
}> {
  const pid = (await exec('podman', ['inspect', '--format', '{{.State.Pid}}', name])).stdout.trim();
  const read = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  const fds = targets(Number(pid));
  const tids = readdirSync(`/proc/${pid}/task`);
  return {
    sockets: fds.filter((target) => target.startsWith('socket:')).length,
    threads: tids.map((tid) => read(`task/${tid}/comm`).trim()).sort(),
    mailboxes: read('maps').split('/memfd:criu-cuda-mailbox').length - 1,
    capabilities: BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(read('status'))?.[1] ?? '0'}`),
  };
}

const CAP_SYS_PTRACE = 19n;
/** With and without a restore: CRIU cannot restore the mounts that podman makes for a user namespace. */
const kinds: [string, string[], boolean][] = [
  ['of root', [], true],
  ['of root, left running', [], false],
  ['in a user namespace, left running', ['--uidmap', '0:100000:65536', '--gidmap', '0:100000:65536'], false],
];

for (const variant of ['parallel', 'full'])
  it.each(kinds)(`${variant}: a container %s`, async (_name, podmanArgs, isRestored) => {
    await createContainer({
      ...{ name, image, variant, preset: 'python-server', gpu: 'none' },
      command: ['/bin/workload-pattern', '--alloc', '8Mx3', '--alloc', '64K', '--socket', socketPath],
      podmanArgs: [...podmanArgs, '--volume', `${shared}:${shared}`],
    });
    const bytes = await checksum();
    await expect.poll(async () => (await look()).sockets).toBe(1);
    const before = await look();
    expect(before.mailboxes).toBe(1);
    expect((before.capabilities >> CAP_SYS_PTRACE) & 1n).toBe(0n);

    const dumped = await checkpointContainer({ name, leaveRunning: !isRestored });
    expect(dumped.tasks).toMatchObject([
      { outcome: isRestored ? 'dumped' : 'rolled-back', prior: 'running' },
    ]);
    expect(readdirSync(dumped.imagesDir ?? '').some((file) => /^cuda-\d+\.img$/.test(file))).toBe(true);
    if (isRestored) {
      const restored = await restoreContainer({ name, keep: true });
      expect(restored.tasks).toMatchObject([{ outcome: 'restored' }]);
    }
    expect(await checksum()).toBe(bytes);
    await expect.poll(look).toEqual(before);
  });
