// SPDX-License-Identifier: MIT
/** The archive of a container of a pod, as containerd's CRI writes it, becomes a container of podman. */
import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  findContainer,
  removeContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { exec } from '../../../lib/exec.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-pod-${process.pid}`;

let machine: Machine;
let dir: string;
let socketPath: string;
beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-pod-'));
  // not below /dev/shm, which is the pod's
  machine = new Machine({ SOFTCUDA_DIR: join(dir, 'devices') });
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  vi.stubEnv('TMPDIR', dir);
  socketPath = join(dir, 'devices', 'w.sock');
});
afterEach(async () => {
  await removeContainer(name);
  vi.unstubAllEnvs();
  await machine.close();
  rmSync(dir, { recursive: true });
});

const checksum = async (): Promise<string> => {
  const answer = await waitFor(() => askWorkload(socketPath, 'verify', 10_000), { interval: 20 });
  return /checksum=(\w+)/.exec(answer)?.[1] ?? 'none';
};

/** What is changed in both files. */
interface Spec {
  id?: string;
  rootfsImageName?: string;
  annotations: Record<string, string>;
  mounts: { destination: string; source?: string }[];
  linux: { namespaces: { type: string; path?: string }[] };
}

/** Changes what podman has written to what containerd's CRI writes. */
async function toPod(tar: string): Promise<void> {
  const files = join(dir, 'files');
  mkdirSync(files);
  await exec('tar', ['--extract', '--file', tar, '--directory', files]);
  const edit = (file: string, change: (value: Spec) => unknown): void => {
    const path = join(files, file);
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as Spec)));
  };
  edit('config.dump', ({ id, rootfsImageName }) => ({
    ...{ id, name: 'web_p_default_u1_0', rootfsImageName, rootfsImage: rootfsImageName },
    ...{ runtime: 'io.containerd.runc.v2', createdTime: '2026-11-28T23:32:30.864142887Z' },
  }));
  edit('spec.dump', (spec) => ({
    ...spec,
    annotations: { 'io.kubernetes.cri.container-type': 'container' },
    mounts: spec.mounts.map((mount) =>
      /^\/(etc\/|dev\/shm)/.test(mount.destination)
        ? { ...mount, source: `/run/pod/sandboxes${mount.destination}` }
        : mount,
    ),
    linux: {
      ...spec.linux,
      namespaces: [
        ...spec.linux.namespaces.map((one) =>
          /ipc|uts/.test(one.type) ? { ...one, path: `/proc/1/ns/${one.type}` } : one,
        ),
        { type: 'network', path: '/proc/1/ns/net' },
      ],
    },
  }));
  await exec('sh', ['-ec', `cd ${files}; tar --create --file ${tar} *`]);
}

it('with its device memory, once its configuration is accepted', async () => {
  const words = ['/bin/workload-pattern', '--alloc', '8Mx3', '--alloc', '64K', '--socket', socketPath];
  const options = { name, image, command: words, variant: 'full', gpu: 'none' } as const;
  await createContainer({ ...options, podmanArgs: ['--network', 'host'] });
  const before = await checksum();
  const tar = join(dir, 'web.tar');
  await checkpointContainer({ name, exportTo: tar });
  await removeContainer(name);
  await toPod(tar);

  const from = { importFrom: tar, name, variant: 'full', gpu: 'none' } as const;
  await expect(restoreContainer(from)).rejects.toMatchObject({ code: 'ERR_CONTAINER_IMPORT' });
  expect(await findContainer(name)).toBeUndefined();
  const restored = await restoreContainer({ ...from, acceptConfig: true });
  expect(restored.tasks).toMatchObject([{ outcome: 'restored' }]);
  expect(await checksum()).toBe(before);
  expect(existsSync(tar)).toBe(true);
  const { stdout } = await exec('sh', ['-c', `ls -d ${dir}/criu-cuda-import-* 2>/dev/null || true`]);
  expect(stdout).toBe('');
});
