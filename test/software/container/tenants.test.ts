// SPDX-License-Identifier: MIT
/** Containers of two tenants, each with root, beside a daemon: what of the host is in them. */
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import { createContainer, removeContainer, type ContainerInfo } from '../../../lib/container/index.ts';
import { execResult } from '../../../lib/exec.ts';
import { interceptorLibrary, softcudaLibrary } from '../../../lib/paths.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { testTool } from '../../helpers/parallel.ts';

const CAP_SYS_PTRACE = 19n;
const { image = '', reason } = await prepareContainers();
const names = ['a', 'b'].map((tenant) => `criu-cuda-tenant-${tenant}-${process.pid}`);

let machine: Machine;
beforeEach(async (context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  await machine.startPool();
  // softcuda's devices are files, which root of a user namespace must reach
  const devices = join(machine.dir, 'devices');
  for (const dir of [machine.dir, devices]) chmodSync(dir, 0o1777);
  for (const file of readdirSync(devices)) chmodSync(join(devices, file), 0o666);
});
afterEach(async () => {
  for (const one of names) await removeContainer(one);
  vi.unstubAllEnvs();
  await machine.close();
});

const start = (name: string, podmanArgs: string[] = []): Promise<ContainerInfo> =>
  createContainer({
    ...{ name, image, variant: 'full', gpu: 'none', podmanArgs },
    // without a socket, it would end with its standard input
    command: ['/bin/workload-pattern', '--alloc', '1M', '--socket', '/dev/shm/w.sock'],
  });

/** Mount points of bind mounts that podman has not made for every container, with their options. */
function hostMounts(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
  const fields = lines.map((line) => line.split(' '));
  const shown = fields.filter(
    ([, , , , at = '']) => !/^\/(proc|sys|dev\/(pts|mqueue|shm)$|dev$|etc|run\/\.|$)/.test(at),
  );
  return Object.fromEntries(
    shown.map(([, , , , at = '', options = '']) => [at, options.split(',')[0] ?? '']),
  );
}

it('neither sees a socket of the host, and both have only libraries, read-only', async () => {
  for (const name of names) {
    const { pid } = await start(name);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\s+0\s/m);
    const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
    expect((effective >> CAP_SYS_PTRACE) & 1n).toBe(0n);
    expect(existsSync(`/proc/${pid}/root${machine.runDir}`)).toBe(false);
    expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).not.toContain(machine.runDir);
    expect(hostMounts(pid)).toEqual({
      [dirname(interceptorLibrary())]: 'ro',
      // the software driver, for tests only
      [dirname(softcudaLibrary())]: 'ro',
      [machine.env.SOFTCUDA_DIR ?? '']: 'rw',
    });
  }
});

it('one in a user namespace is not answered even if it gets to the socket', async () => {
  const map = '0:100000:65536';
  const { pid } = await start(names[0] ?? '', ['--uidmap', map, '--gidmap', map]).catch((error: unknown) => {
    throw new Error('podman cannot start a container with --uidmap here', { cause: error });
  });
  expect(pid).toBeGreaterThan(0);
  const inside = ['--user', '--target', String(pid), '--preserve-credentials'];
  const { stdout, stderr } = await execResult('nsenter', [
    ...inside,
    testTool('pool-client'),
    machine.runDir,
  ]);
  // root of the host, in the container's user namespace: the descriptor check passes, the daemon refuses
  expect(stdout, stderr).toMatch(/^(refused: .*|connected\ndropped)$/);
  expect((await machine.poolStatus()).operations).toEqual([]);
});
