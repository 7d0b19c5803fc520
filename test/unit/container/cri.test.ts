// SPDX-License-Identifier: MIT
/** Archives of Kubernetes' runtimes, converted for podman. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConvertedArchive, isCriArchive, podmanArchive } from '../../../lib/container/cri.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-cri-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const archived = {
  config: { id: 'c', name: 'web_p', rootfsImageName: 'localhost/web:1', runtime: 'io.containerd.runc.v2' },
  spec: {
    ociVersion: '1.3.0',
    annotations: { 'io.kubernetes.cri.container-type': 'container' },
    mounts: [
      { destination: '/proc', type: 'proc' },
      { destination: '/etc/hosts', source: '/pods/hosts' },
      { destination: '/dev/shm', source: '/pods/shm' },
      { destination: '/opt/lib', source: '/opt/lib', options: ['ro'] },
    ],
    linux: {
      cgroupsPath: '/k8s.io/c',
      namespaces: [
        { type: 'pid' },
        { type: 'ipc', path: '/proc/7/ns/ipc' },
        { type: 'network', path: '/proc/7/ns/net' },
      ],
    },
  },
  images: ['inventory.img'],
};

it('are known by what containerd and CRI-O write into each container', () => {
  expect(isCriArchive(archived)).toBe(true);
  const crio = { 'io.kubernetes.cri-o.ContainerType': 'container' };
  expect(isCriArchive({ ...archived, spec: { ...archived.spec, annotations: crio } })).toBe(true);
  expect(isCriArchive({ ...archived, spec: { ...archived.spec, annotations: { other: '1' } } })).toBe(false);
  expect(isCriArchive({ ...archived, spec: 'text' })).toBe(false);
});

it("get runc, podman's image, and nothing of the pod", () => {
  const { config, spec, images } = podmanArchive(archived, 'f00');
  expect(config).toEqual({ ...archived.config, runtime: 'runc', rootfsImageID: 'f00' });
  expect(spec).toEqual({
    ...archived.spec,
    mounts: [archived.spec.mounts[0], archived.spec.mounts[3]],
    linux: { cgroupsPath: '/k8s.io/c', namespaces: [{ type: 'pid' }, { type: 'ipc' }] },
  });
  expect(images).toEqual(archived.images);
});

it('are copied, and what was converted counts', async () => {
  for (const name of ['config.dump', 'spec.dump', 'other']) writeFileSync(join(dir, name), `old ${name}`);
  const file = join(dir, 'web.tar');
  await exec('tar', ['--create', '--file', file, '--directory', dir, 'config.dump', 'spec.dump', 'other']);
  const converted = await ConvertedArchive.write(file, podmanArchive(archived, 'f00'), undefined);
  const out = join(dir, 'out');
  await exec('sh', ['-ec', `mkdir ${out}; tar --extract --file ${converted.file} --directory ${out}`]);
  const read = async (name: string): Promise<string> => (await exec('cat', [join(out, name)])).stdout;
  expect(JSON.parse(await read('config.dump'))).toMatchObject({ runtime: 'runc', rootfsImageID: 'f00' });
  expect(JSON.parse(await read('spec.dump'))).toMatchObject({ ociVersion: '1.3.0' });
  expect(await read('other')).toBe('old other');
  converted.remove();
  expect(existsSync(dirname(converted.file))).toBe(false);
  expect((await exec('tar', ['-xOf', file, 'config.dump'])).stdout).toBe('old config.dump');
});

it('that are compressed are refused, and leave nothing behind', async () => {
  const file = join(dir, 'web.tar.gz');
  writeFileSync(join(dir, 'a'), 'a');
  await exec('tar', ['--create', '--gzip', '--file', file, '--directory', dir, 'a']);
  await expect(ConvertedArchive.write(file, archived, undefined)).rejects.toMatchObject({
    code: 'ERR_CONTAINER_IMPORT',
    message: expect.stringContaining(`cannot convert ${file}: `) as string,
  });
});

it('leave no copy when the program ends before it removes them, as at a second Ctrl-C', async () => {
  writeFileSync(join(dir, 'config.dump'), 'old');
  const file = join(dir, 'web.tar');
  await exec('tar', ['--create', '--file', file, '--directory', dir, 'config.dump']);
  const temporary = join(dir, 'temporary');
  mkdirSync(temporary);
  const program = `
    const { ConvertedArchive } = await import(${JSON.stringify(join(projectRoot, 'lib/container/cri.ts'))});
    const { file } = await ConvertedArchive.write(${JSON.stringify(file)}, ${JSON.stringify(archived)});
    process.stdout.write(file, () => process.exit(3));`;
  const loader = join(projectRoot, 'scripts', 'typescript.mjs');
  const words = ['--import', loader, '--input-type=module', '--eval', program];
  const { exitCode, stdout, stderr } = await execResult(process.execPath, words, {
    env: { TMPDIR: temporary },
  });
  expect(exitCode, stderr).toBe(3);
  expect(stdout.startsWith(`${temporary}/`)).toBe(true);
  expect(readdirSync(temporary)).toEqual([]);
});
