// SPDX-License-Identifier: MIT
/** Which archives of containers are refused, and why. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memberProblems, readArchive } from '../../../lib/container/archive.ts';
import { configDifferences, defaultCapabilities, type Expected } from '../../../lib/container/compare.ts';

interface Description {
  config: Record<string, unknown>;
  spec: {
    process: { user: { uid: number }; capabilities: Record<string, string[]> };
    mounts: { destination: string; type: string; source: string; options: string[] }[];
    hooks?: unknown;
    linux: {
      namespaces: { type: string; path?: string }[];
      seccomp?: { defaultAction: string; syscalls: { names: string[]; action: string }[] } | undefined;
      maskedPaths: string[];
      devices?: unknown;
      resources: { devices: unknown[] };
    };
  };
}

const fixture = readFileSync('test/fixtures/container-archive/plain.json', 'utf8');
let archived: Description;
let expected: Expected;
beforeEach(() => {
  archived = JSON.parse(fixture) as Description;
  const allowed = archived.spec.linux.seccomp;
  expected = {
    mounts: [
      { path: '/opt/criu-cuda/lib/softcuda', readOnly: true },
      { path: '/opt/criu-cuda/lib/intercept', readOnly: true },
      { path: '/srv/test/devices', readOnly: false },
      { path: '/srv/test/run', readOnly: false },
      { path: '/srv/test/store/web', readOnly: true },
    ],
    labels: { 'criu-cuda.libdir': '/opt/criu-cuda/lib/parallel', 'criu-cuda.run-dir': '/srv/test/run' },
    hostNetwork: false,
    hasGpu: false,
    imageUser: '',
    seccomp: JSON.stringify(allowed),
  };
});

const differences = (): string[] => configDifferences(archived, expected);

it('a container that is as it was asked for has none', () => {
  expect(differences()).toEqual([]);
});

it('a container with less has none', () => {
  archived.spec.process.capabilities = { bounding: ['CAP_CHOWN'] };
  archived.spec.mounts = archived.spec.mounts.filter(({ source }) => !source.startsWith('/srv'));
  expect(differences()).toEqual([]);
});

const mount = (source: string, destination = source, options = ['rbind', 'rw']) => ({
  destination,
  type: 'bind',
  source,
  options,
});

describe.each<[string, (all: Description) => void, string]>([
  [
    'a privileged container',
    ({ config }) => (config.privileged = true),
    'privileged: it is a privileged container',
  ],
  [
    'capabilities',
    ({ spec }) => (spec.process.capabilities.ambient = ['CAP_SYS_PTRACE', 'CAP_SYS_ADMIN', 'CAP_CHOWN']),
    'capabilities: it has CAP_SYS_ADMIN, CAP_SYS_PTRACE',
  ],
  ['no filter', ({ spec }) => delete spec.linux.seccomp, 'seccomp: it has no filter of system calls'],
  [
    'a filter that allows what is not named',
    ({ spec }) => (spec.linux.seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] }),
    'seccomp: what is not named is SCMP_ACT_ALLOW instead of SCMP_ACT_ERRNO',
  ],
  [
    'a filter that allows more',
    ({ spec }) => spec.linux.seccomp?.syscalls.push({ names: ['bpf', 'read'], action: 'SCMP_ACT_ALLOW' }),
    'seccomp: it allows bpf',
  ],
  [
    'a filter that asks another program',
    ({ spec }) => spec.linux.seccomp?.syscalls.push({ names: ['mount'], action: 'SCMP_ACT_NOTIFY' }),
    'seccomp: it allows mount',
  ],
  ['another user', ({ config }) => (config.user = 'app'), 'user: it runs as "app", its image names "root"'],
  [
    'another uid',
    ({ spec }) => (spec.process.user.uid = 5),
    'user: it runs with uid 5, its image names "root"',
  ],
  [
    "the host's namespace",
    ({ spec }) => (spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid')),
    "namespaces: it has the host's pid namespace",
  ],
  [
    "the host's network",
    ({ spec }) => (spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'network')),
    "namespaces: it has the host's network namespace",
  ],
  [
    'the namespace of a process',
    ({ spec }) => {
      spec.linux.namespaces.forEach((one) => {
        if (one.type === 'ipc') one.path = '/proc/1/ns/ipc';
      });
    },
    'namespaces: its ipc namespace is /proc/1/ns/ipc',
  ],
  [
    'the namespace of another container',
    ({ config }) => (config.pidNsCtr = 'abc'),
    'namespaces: pidNsCtr is "abc"',
  ],
  [
    'a directory of the host',
    ({ spec }) => spec.mounts.push(mount('/etc', '/host')),
    'mounts: /etc of the host is at /host',
  ],
  [
    'a directory of the host that looks like its own',
    ({ spec, config }) =>
      spec.mounts.push(mount(`/overlay-containers/${String(config.id)}/userdata/../../../etc`, '/host')),
    'of the host is at /host',
  ],
  [
    'the host at the place of a library',
    ({ spec }) => spec.mounts.push(mount('/', '/opt/criu-cuda/lib/intercept', ['rbind', 'ro'])),
    'mounts: / of the host is at /opt/criu-cuda/lib/intercept',
  ],
  [
    'a library that it may write to',
    ({ spec }) => spec.mounts.push(mount('/opt/criu-cuda/lib/intercept')),
    'mounts: it may write to /opt/criu-cuda/lib/intercept, which should be read-only',
  ],
  [
    'no masks',
    ({ spec }) => (spec.linux.maskedPaths = []),
    'masks: it sees /proc/kcore, /proc/keys, /sys/firmware',
  ],
  ['a disk', ({ spec }) => (spec.linux.devices = [{ path: '/dev/sda' }]), 'devices: it has /dev/sda'],
  [
    'all devices',
    ({ spec }) => spec.linux.resources.devices.push({ allow: true, access: 'rwm' }),
    'devices: it may use any device',
  ],
  [
    'a hook',
    ({ spec }) => (spec.hooks = { prestart: [{ path: '/bin/sh', args: ['sh'] }] }),
    'hook: /bin/sh would run on the host',
  ],
  ['a runtime', ({ config }) => (config.runtime = '/tmp/runc'), 'runtime: /tmp/runc would run on the host'],
  [
    'an exit command',
    ({ config }) => (config.exitCommand = ['/tmp/podman']),
    'exit command: /tmp/podman would run on the host',
  ],
  [
    'a plugin of its own',
    ({ config }) => (config.labels = { 'criu-cuda.libdir': '/tmp/x' }),
    'labels: criu-cuda.libdir is /tmp/x, not /opt/criu-cuda/lib/parallel',
  ],
])('a container with %s', (_what, change, line) => {
  it('is different', () => {
    change(archived);
    expect(differences()).toEqual([expect.stringContaining(line)]);
  });
});

it('all differences are listed', () => {
  archived.config.privileged = true;
  archived.config.user = 'app';
  archived.spec.mounts.push(mount('/etc', '/host'), mount('/', '/root'));
  expect(differences()).toHaveLength(4);
});

it('a rule that depends on a capability counts only with it', () => {
  const [first, second] = [defaultCapabilities[0] ?? '', 'CAP_SYS_ADMIN'];
  const rule = (names: string[], caps: string[]) => ({ names, action: 'SCMP_ACT_ALLOW', includes: { caps } });
  expected = {
    ...expected,
    seccomp: JSON.stringify({
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [rule(['chown'], [first]), rule(['bpf'], [second])],
    }),
  };
  archived.spec.linux.seccomp = {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [{ names: ['chown', 'bpf'], action: 'SCMP_ACT_ALLOW' }],
  };
  expect(differences()).toEqual(['seccomp: it allows bpf']);
});

it("podman's filter of the profile is no more than the profile", () => {
  const rules = (args: object) => ({
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [{ names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [args] }],
  });
  const argument = { index: 0, value: 8, op: 'SCMP_CMP_EQ' };
  expected = { ...expected, seccomp: JSON.stringify(rules({ ...argument, valueTwo: 0 })) };
  archived.spec.linux.seccomp = rules(argument);
  expect(differences()).toEqual([]);
  archived.spec.linux.seccomp = rules({ ...argument, value: 9 });
  expect(differences()).toEqual(['seccomp: it allows personality']);
});

it("the GPU's devices, libraries and hook are accepted with a GPU only", () => {
  archived.spec.linux.devices = [{ path: '/dev/nvidia0' }];
  archived.spec.hooks = { createContainer: [{ path: '/usr/bin/nvidia-ctk' }] };
  archived.spec.mounts.push(mount('/usr/lib/x86_64-linux-gnu/libcuda.so.570.1', undefined, ['bind', 'ro']));
  expect(differences()).toHaveLength(3);
  expected = { ...expected, hasGpu: true };
  expect(differences()).toEqual([]);
});

describe('the members of an archive', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'archive-'));
    mkdirSync(join(dir, 'in'));
    writeFileSync(join(dir, 'in', 'config.dump'), '{}');
    writeFileSync(join(dir, 'in', 'spec.dump'), '{"a":1}');
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  const pack = (...words: string[]): string => {
    const file = join(dir, 'archive.tar');
    execFileSync('tar', ['-cPf', file, '-C', join(dir, 'in'), 'config.dump', 'spec.dump', ...words]);
    return file;
  };

  it('are read without unpacking', async () => {
    mkdirSync(join(dir, 'in', 'checkpoint', 'below'), { recursive: true });
    for (const name of ['cuda-7.img', 'below/cuda-8.img'])
      writeFileSync(join(dir, 'in', 'checkpoint', name), '');
    const archive = await readArchive(pack('checkpoint'));
    expect(archive).toMatchObject({ config: {}, spec: { a: 1 } });
    expect(archive.images.sort()).toEqual(['below', 'cuda-7.img']);
  });

  it.each<[string, (inside: string) => string[], RegExp]>([
    [
      'an absolute path',
      () => ['--transform', 's,spec.dump,/etc/passwd,'],
      /"\/etc\/passwd" has an absolute path/,
    ],
    ['..', () => ['--transform', 's,spec.dump,a/../../b,'], /"a\/\.\.\/\.\.\/b" leads out of the archive/],
    [
      'a symbolic link',
      (inside) => {
        symlinkSync('/etc', join(inside, 'checkpoint'));
        return ['checkpoint'];
      },
      /"checkpoint" is a symbolic link/,
    ],
    [
      'a FIFO',
      (inside) => {
        execFileSync('mkfifo', [join(inside, 'fifo\n- "x"')]);
        return ['fifo\n- "x"'];
      },
      /"fifo\\n- \\"x\\"" is a FIFO/,
    ],
    ['a member twice', () => ['./config.dump'], /config\.dump" is (there twice|a hard link)/],
  ])('with %s are refused', async (_what, words, message) => {
    const file = pack(...words(join(dir, 'in')));
    const error = await readArchive(file).catch((one: unknown) => one);
    expect(error).toMatchObject({
      code: 'ERR_CONTAINER_IMPORT',
      message: expect.stringMatching(message) as string,
    });
  });

  it('devices and hard links are refused', () => {
    const line = (kind: string) => `${kind}rw-r--r-- root/root 8,0 2026-01-01 00:00 "a"`;
    expect(memberProblems([line('b'), line('c'), line('h')].join('\n'))).toEqual([
      '"a" is a block device',
      '"a" is a character device',
      '"a" is a hard link',
    ]);
  });

  it('a file that tar cannot read is refused', async () => {
    const file = join(dir, 'text');
    writeFileSync(file, 'no archive\n'.repeat(100));
    await expect(readArchive(file)).rejects.toMatchObject({ code: 'ERR_CONTAINER_IMPORT' });
  });
});
