// SPDX-License-Identifier: MIT
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfigFile } from '../../../lib/settings/settings.ts';
import {
  planContainerSetup,
  settingsText,
  undoContainerSetup,
  withoutIoUring,
  type ContainerSetupOptions,
} from '../../../lib/setup/containers/index.ts';
import { createMachine, criuScript, type TestMachine } from './machine.ts';

const profile = JSON.stringify({
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: [
    { names: ['read', 'io_uring_setup', 'io_uring_enter', 'write'], action: 'SCMP_ACT_ALLOW', args: [] },
    { names: ['io_uring_register'], action: 'SCMP_ACT_ALLOW' },
  ],
});

let machine: TestMachine;
let root: string;
let options: ContainerSetupOptions;

function put(path: string, content: string): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

/** Everything below the root, directories too, with contents. */
function tree(): Record<string, string> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    files.flatMap((name) => {
      const path = join(root, name);
      const stat = lstatSync(path);
      if (stat.isDirectory()) return [[`${name}/`, '']];
      return [[name, stat.isSymbolicLink() ? `→ ${readlinkSync(path)}` : readFileSync(path, 'utf8')]];
    }),
  );
}

beforeEach(() => {
  machine = createMachine();
  root = join(machine.dir, 'root');
  mkdirSync(root);
  machine.script('bin/dpkg-query', 'echo "installed podman "; echo "installed runc "');
  machine.script('cache/criu-4.2.1/criu', criuScript('4.2.1'));
  writeFileSync(join(machine.dir, 'cache/criu-4.2.1/COMPLETE'), '{}');
  put('usr/share/containers/seccomp.json', profile);
  options = { libdir: '/plugins/parallel', root, env: { CRIU_CUDA_STREAMS: '4' } };
});
afterEach(() => {
  machine.remove();
});

async function states(): Promise<string[]> {
  return (await planContainerSetup(machine.system, options)).map(({ state }) => state);
}

async function runAll(): Promise<void> {
  for (const step of await planContainerSetup(machine.system, options))
    if (step.state === 'free') await step.run(() => undefined);
}

describe('planContainerSetup', () => {
  it('announces everything, does it once, and undoes all of it', async () => {
    const before = tree();
    expect(await states()).toEqual(['done', 'free', 'free', 'free', 'free', 'free']);
    expect(tree()).toEqual(before);

    await runAll();
    expect(await states()).toEqual(['done', 'done', 'done', 'done', 'done', 'done']);
    const after = tree();
    expect(after['usr/local/sbin/criu']).toBe(`→ ${join(machine.dir, 'cache/criu-4.2.1/criu')}`);
    expect(after['etc/criu/runc.conf']).toMatch(/^libdir \/plugins\/parallel$/m);
    expect(after['etc/criu/cuda.conf']).toMatch(/^CRIU_CUDA_STREAMS = 4$/m);
    expect(after['etc/tmpfiles.d/criu-cuda.conf']).toMatch(/^d \/run\/criu-cuda 0700 root root -$/m);
    expect(after['etc/tmpfiles.d/criu-cuda.conf']).toMatch(
      /^d \/run\/criu-cuda\/history 0700 root root 30d$/m,
    );
    expect(after['etc/criu-cuda/seccomp.json']).not.toContain('io_uring');

    expect((await undoContainerSetup(machine.system, root)).left).toEqual([]);
    expect(tree()).toEqual(before);
    expect(await undoContainerSetup(machine.system, root)).toEqual({ removed: [], left: [] });
  });

  it('never overwrites or removes a file that it did not write', async () => {
    const runc = put('etc/criu/runc.conf', 'ghost-limit 300M\n');
    const criu = put('usr/local/sbin/criu', 'mine');
    const plan = await planContainerSetup(machine.system, options);
    expect(plan.filter(({ state }) => state === 'foreign').map(({ byHand }) => byHand)).toEqual([
      `make ${join(machine.dir, 'cache/criu-4.2.1/criu')} the first criu on PATH`,
      'libdir /plugins/parallel',
    ]);
    await runAll();
    expect(readFileSync(runc, 'utf8')).toBe('ghost-limit 300M\n');
    writeFileSync(join(root, 'etc/criu/cuda.conf'), 'CRIU_CUDA_STREAMS = 2\n');
    expect((await undoContainerSetup(machine.system, root)).left).toEqual([join(root, 'etc/criu/cuda.conf')]);
    expect(readFileSync(runc, 'utf8')).toBe('ghost-limit 300M\n');
    expect(readFileSync(criu, 'utf8')).toBe('mine');
    expect(readFileSync(join(root, 'etc/criu/cuda.conf'), 'utf8')).toBe('CRIU_CUDA_STREAMS = 2\n');
  });

  it('accepts a foreign file that names the same plugin, and replaces its own earlier file', async () => {
    put('etc/criu/runc.conf', 'ghost-limit 300M\nlibdir /plugins/parallel\n');
    expect((await states())[3]).toBe('done');
    await runAll();
    options = { ...options, env: { CRIU_CUDA_STREAMS: '16' } };
    expect((await states())[4]).toBe('free');
    await runAll();
    expect(tree()['etc/criu/cuda.conf']).toMatch(/^CRIU_CUDA_STREAMS = 16$/m);
  });

  it('names no plugin for all containers unless plain podman is to have one', async () => {
    options = { ...options, plainPodman: false };
    await runAll();
    expect(Object.keys(tree())).toContain('etc/criu/cuda.conf');
    expect(Object.keys(tree())).not.toContain('etc/criu/runc.conf');
  });

  it('turns on the experimental features of Docker, and undoes that with its directory', async () => {
    machine.script('bin/dockerd', '');
    const before = tree();
    expect(await states()).toEqual(['done', 'free', 'free', 'free', 'free', 'free', 'free']);
    await runAll();
    expect(JSON.parse(tree()['etc/docker/daemon.json'] ?? '')).toEqual({ experimental: true });
    expect((await states())[4]).toBe('done');
    await undoContainerSetup(machine.system, root);
    expect(tree()).toEqual(before);
  });

  it('leaves settings of Docker alone, and says what to add', async () => {
    machine.script('bin/dockerd', '');
    const file = put('etc/docker/daemon.json', '{"debug": true}');
    const step = (await planContainerSetup(machine.system, options))[4];
    expect(step).toMatchObject({
      state: 'foreign',
      byHand: '"experimental": true in /etc/docker/daemon.json',
    });
    writeFileSync(file, '{"debug": true, "experimental": true}');
    expect((await states())[4]).toBe('done');
    // with criu-cuda's own commands, Docker has nothing to do
    options = { ...options, plainPodman: false };
    expect(await states()).toHaveLength(5);
  });

  it('makes the link where criu is on the PATH of the caller, but not of a daemon', async () => {
    machine.script('bin/criu', criuScript('4.2.1'));
    const [, onPath] = await planContainerSetup(machine.system, options);
    expect(onPath).toMatchObject({ state: 'done' });
    put('proc/7/comm', 'containerd\n');
    put('proc/7/environ', 'PATH=/usr/local/sbin\0');
    const [, link] = await planContainerSetup(machine.system, options);
    expect(link).toMatchObject({ state: 'free' });
    expect(link?.what).toMatch(/^\/usr\/local\/sbin\/criu, a link to /);
  });

  it('mounts a store, and unmounts it', async () => {
    const calls = join(machine.dir, 'calls');
    const mounts = put('proc/self/mounts', '');
    machine.script('bin/mount', `echo mount "$@" >> ${calls}; echo "criu-cuda $6 tmpfs rw 0 0" > ${mounts}`);
    machine.script('bin/umount', `echo umount "$@" >> ${calls}; : > ${mounts}`);
    options = { ...options, store: { bytes: 2 ** 30, hugePages: true } };
    const store = join(root, 'var/lib/criu-cuda/images');
    await runAll();
    expect(existsSync(store)).toBe(true);
    await undoContainerSetup(machine.system, root);
    expect(existsSync(store)).toBe(false);
    expect(readFileSync(calls, 'utf8').trim().split('\n')).toEqual([
      `mount -t tmpfs -o size=${2 ** 30},mode=0700,huge=always criu-cuda ${store}`,
      `umount ${store}`,
    ]);
  });

  it('keeps the record of a store that cannot be unmounted', async () => {
    const mounts = put('proc/self/mounts', '');
    machine.script('bin/mount', `echo "criu-cuda $6 tmpfs rw 0 0" > ${mounts}`);
    machine.script('bin/umount', 'echo target is busy >&2; exit 32');
    options = { ...options, store: { bytes: 2 ** 30, hugePages: false } };
    await runAll();
    await expect(undoContainerSetup(machine.system, root)).rejects.toThrow('target is busy');
    machine.script('bin/umount', 'true');
    expect((await undoContainerSetup(machine.system, root)).removed).toContain(
      join(root, 'var/lib/criu-cuda/images'),
    );
  });

  it.each([
    ['is gone after a restart', 'nothing', false],
    ['was removed by hand', 'directory', false],
    ['holds files again, which stay', 'file', true],
  ])('undoes everything when the store %s', async (_name, what, isLeft) => {
    put('proc/self/mounts', '');
    const before = tree();
    machine.script('bin/mount', 'true');
    machine.script('bin/umount', 'echo not mounted >&2; exit 32');
    options = { ...options, store: { bytes: 2 ** 30, hugePages: false } };
    await runAll();
    const store = join(root, 'var/lib/criu-cuda/images');
    if (what === 'directory') rmdirSync(store);
    if (what === 'file') put('var/lib/criu-cuda/images/mine', 'kept');
    const { left } = await undoContainerSetup(machine.system, root);
    expect(left).toEqual(isLeft ? [store] : []);
    const parents = ['var/', 'var/lib/', 'var/lib/criu-cuda/', 'var/lib/criu-cuda/images/'];
    const mine = Object.fromEntries([
      ...parents.map((name) => [name, '']),
      ['var/lib/criu-cuda/images/mine', 'kept'],
    ]) as Record<string, string>;
    expect(tree()).toEqual({ ...before, ...(isLeft ? mine : {}) });
    expect((await states())[1]).toBe('free');
  });

  it('refuses to begin without criu', async () => {
    machine.remove();
    await expect(planContainerSetup(machine.system, options)).rejects.toThrow('no usable CRIU');
  });
});

describe('what is written', () => {
  it('is a settings file that can be read, with the values of the environment', () => {
    const text = settingsText({ CRIU_CUDA_STREAMS: '4', CRIU_CUDA_IO: 'direct', PATH: '/bin' });
    expect(parseConfigFile(text, 'cuda.conf').map(({ key, text: value }) => [key, value])).toEqual([
      ['CRIU_CUDA_STREAMS', '4'],
      ['CRIU_CUDA_IO', 'direct'],
    ]);
  });

  it('is a system-call filter that lost io_uring and nothing else', () => {
    expect(JSON.parse(withoutIoUring(profile))).toEqual({
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [{ names: ['read', 'write'], action: 'SCMP_ACT_ALLOW', args: [] }],
    });
    expect(() => withoutIoUring('{}')).toThrow('unknown form');
  });
});
