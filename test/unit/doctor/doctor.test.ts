// SPDX-License-Identifier: MIT
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkMachine, type MachineCheck, type MachineReport } from '../../../lib/doctor/index.ts';
import { libdirsInOptions } from '../../../lib/doctor/plugins.ts';
import { findMount } from '../../../lib/doctor/storage.ts';
import { softcudaLibrary, type Environment } from '../../../lib/paths.ts';
import { compilePlugin } from '../inspect/compile.ts';
import { checkInChroot, createMachine, criuScript, type TestMachine } from '../setup/machine.ts';

let machine: TestMachine;
let root: string;
beforeEach(() => {
  machine = createMachine();
  root = join(machine.dir, 'root');
  write('proc/sys/kernel/osrelease', '6.1.0\n');
  write('proc/config.gz', gzipSync('CONFIG_X=m\nCONFIG_CHECKPOINT_RESTORE=y\n'));
  write('proc/self/status', 'Name:\tx\nCapEff:\t000001ffffffffff\n');
  write('proc/self/limits', 'Max open files            1024                 524288               files\n');
  write('proc/self/mountinfo', '1 0 0:1 / / rw shared:1 - ext4 /dev/x rw\n');
  write('sys/kernel/mm/transparent_hugepage/enabled', '[always] madvise never\n');
});
afterEach(() => {
  machine.remove();
});

function write(path: string, content: string | Buffer): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function examineWith(env: Environment = {}, imagesDir?: string): Promise<MachineReport> {
  const system = {
    ...machine.system,
    env: {
      ...machine.system.env,
      CRIU_CUDA_BUILD_DIR: join(machine.dir, 'build'),
      CRIU_CUDA_CONFIG: confFile(''),
      CRIU_CUDA_RUN_DIR: join(machine.dir, 'run'),
      ...env,
    },
  };
  return checkMachine({ system, root, ...(imagesDir === undefined ? {} : { imagesDir }) });
}

function confFile(text: string, name = 'cuda.conf'): string {
  const path = join(machine.dir, name);
  writeFileSync(path, text);
  return path;
}

function get(report: MachineReport, id: string): MachineCheck {
  const check = report.checks.find((candidate) => candidate.id === id);
  if (check === undefined)
    throw new Error(`no check ${id} among ${report.checks.map((c) => c.id).join(' ')}`);
  return check;
}

function addCriu(libdir: string): string {
  const help = `echo "  -L|--libdir   path to a plugin directory (by default ${libdir}/)"`;
  return machine.script('bin/criu', `[ "$1" = --help ] && { ${help}; exit 0; }\n${criuScript('4.2.1')}`);
}

const gpuInformation = 'Model: \t\t NVIDIA H200\nIRQ:   \t\t 1\nGPU UUID: \t GPU-12345678-0000\n';

describe('a machine with a GPU and nothing else', () => {
  it('names every missing part with its remedy', async () => {
    write('proc/driver/nvidia/gpus/0000:01:00.0/information', gpuInformation);
    write('proc/driver/nvidia/version', 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n');
    const report = await examineWith({ CRIU_CUDA_DRIVER: join(machine.dir, 'libcuda.so.1') });
    expect(report.ready).toBe(false);
    expect(get(report, 'criu')).toMatchObject({ status: 'missing', found: 'not found' });
    expect(get(report, 'gpu')).toMatchObject({ status: 'ok', found: 'NVIDIA H200 (GPU-12345678-0000)' });
    expect(get(report, 'nvidia-module')).toMatchObject({ status: 'broken' });
    expect(get(report, 'cuda-driver')).toMatchObject({ status: 'broken' });
    expect(get(report, 'plugin-build')).toMatchObject({ status: 'missing' });
    expect(get(report, 'plugin-build').remedy).toContain('criu-cuda setup');
    for (const check of report.checks) if (check.status !== 'ok') expect(check.remedy).toBeTruthy();
  });

  it('finds a card without a driver', async () => {
    write('sys/bus/pci/devices/0000:01:00.0/vendor', '0x10de\n');
    write('sys/bus/pci/devices/0000:01:00.0/class', '0x030200\n');
    write('sys/bus/pci/devices/0000:02:00.0/vendor', '0x10de\n');
    write('sys/bus/pci/devices/0000:02:00.0/class', '0x040300\n');
    const gpu = get(await examineWith(), 'gpu');
    expect(gpu).toMatchObject({ status: 'missing' });
    expect(gpu.found).toContain('1 NVIDIA device(s) at 0000:01:00.0');
  });

  it('reads persistence and MIG from nvidia-smi', async () => {
    write('proc/driver/nvidia/gpus/0000:01:00.0/information', gpuInformation);
    machine.script('bin/nvidia-smi', 'echo "0, Enabled, Disabled"; echo "1, Disabled, Enabled"');
    const report = await examineWith();
    expect(get(report, 'persistence')).toMatchObject({ status: 'warning', found: 'off on GPU 1' });
    expect(get(report, 'mig')).toMatchObject({ status: 'broken', found: 'on for GPU 1' });
  });
});

describe('kernel and rights', () => {
  it('passes on an ordinary machine', async () => {
    const report = await examineWith();
    for (const id of ['kernel', 'capabilities', 'ptrace', 'limits', 'thp', 'settings', 'run-dir']) {
      expect(get(report, id), id).toMatchObject({ status: 'ok' });
    }
  });

  it('distinguishes a kernel without checkpoint support from one that does not say', async () => {
    write('proc/config.gz', gzipSync('# CONFIG_CHECKPOINT_RESTORE is not set\n'));
    expect(get(await examineWith(), 'kernel').status).toBe('missing');
    rmSync(join(root, 'proc/config.gz'));
    expect(get(await examineWith(), 'kernel').status).toBe('warning');
    write('proc/sys/kernel/ns_last_pid', '1');
    expect(get(await examineWith(), 'kernel').status).toBe('ok');
  });

  it('reports missing rights, tracing, open files and huge pages', async () => {
    write('proc/self/status', 'CapEff:\t0000000000000000\n');
    write('proc/sys/kernel/yama/ptrace_scope', '3\n');
    write('proc/self/limits', 'Max open files            256                  512                  files\n');
    write('sys/kernel/mm/transparent_hugepage/enabled', 'always madvise [never]\n');
    const report = await examineWith();
    expect(get(report, 'capabilities').status).toBe('missing');
    expect(get(report, 'ptrace').status).toBe('broken');
    expect(get(report, 'limits')).toMatchObject({ status: 'warning', found: '256, at most 512' });
    expect(get(report, 'thp')).toMatchObject({ status: 'warning', found: 'never' });
  });

  it('warns when limits cannot be raised', async () => {
    write('proc/self/status', 'CapEff:\t000001fffeffffff\n');
    const rights = get(await examineWith(), 'capabilities');
    expect(rights.found).toContain('no CAP_SYS_RESOURCE');
    expect(rights.remedy).toMatch(/^processes of other users cannot be dumped/);
  });
});

describe('plugin directories', () => {
  it('lists the contents of the one that CRIU uses', async () => {
    addCriu('/opt/lib/criu');
    const dir = join(root, 'opt/lib/criu');
    expect(get(await examineWith(), 'plugin-dir:/opt/lib/criu')).toMatchObject({ status: 'warning' });
    mkdirSync(dir, { recursive: true });
    const identity = 'ccr-plugin: version=1.2.3 variant=stock';
    await compilePlugin(dir, 'cuda_plugin.so', { name: 'cuda_plugin', identity });
    const report = await examineWith();
    expect(get(report, 'plugin-dir:/opt/lib/criu')).toMatchObject({
      status: 'ok',
      found: 'cuda_plugin.so: criu-cuda, variant stock 1.2.3 (compiled into criu)',
    });
    expect(get(report, 'plugin-build').status).toBe('warning');
  });

  it('refuses two CUDA plugins, and files that are not plugins', async () => {
    const two = join(root, 'usr/lib/criu');
    const odd = join(root, 'srv/plugins');
    mkdirSync(two, { recursive: true });
    mkdirSync(odd, { recursive: true });
    await compilePlugin(two, 'cuda_plugin.so', { name: 'cuda_plugin' });
    await compilePlugin(two, 'cuda_plugin_old.so', { name: 'cuda_plugin' });
    writeFileSync(join(odd, 'notes.so'), 'text');
    write('etc/criu/runc.conf', 'tcp-established\nlibdir /srv/plugins\n');
    const report = await examineWith();
    expect(get(report, 'plugin-dir:/usr/lib/criu')).toMatchObject({ status: 'broken' });
    const second = get(report, 'plugin-dir:/srv/plugins');
    expect(second).toMatchObject({ status: 'broken' });
    expect(second.found).toContain('libdir in /etc/criu/runc.conf');
  });
});

describe('containers', () => {
  it('does not require any', async () => {
    expect(get(await examineWith(), 'podman')).toMatchObject({ status: 'ok' });
  });

  it('requires a runtime with CRIU', async () => {
    machine.script('bin/podman', 'echo "podman version 4.3.1"');
    machine.script('bin/crun', 'echo "crun version 1.8.1"; echo "+SYSTEMD +SELINUX"');
    const report = await examineWith();
    expect(get(report, 'podman')).toMatchObject({
      status: 'warning',
      remedy: 'criu-cuda container setup',
    });
    expect(get(report, 'crun').found).toBe('1.8.1, built without CRIU');
    machine.script('bin/runc', 'echo "runc version 1.1.5+ds1"');
    expect(get(await examineWith(), 'podman')).toMatchObject({ status: 'ok', found: '4.3.1' });
  });

  it('says how runtimes can find a CRIU outside PATH', async () => {
    machine.script('bin/runc', 'echo "runc version 1.1.5"');
    machine.script('cache/criu-4.2.1/criu', criuScript('4.2.1'));
    writeFileSync(join(machine.dir, 'cache/criu-4.2.1/COMPLETE'), '{}');
    expect(get(await examineWith(), 'runc').remedy).toContain('link');
  });
});

describe('settings and folders', () => {
  it('proposes no other criu where none can work', async () => {
    machine.script('bin/criu', criuScript('4.2.1', checkInChroot));
    expect(get(await examineWith(), 'criu')).toMatchObject({
      status: 'broken',
      remedy: expect.stringMatching(/^the root directory is not a mount point/) as string,
    });
  });

  it('reports what is wrong with a setting', async () => {
    const report = await examineWith({
      CRIU_CUDA_CONFIG: confFile('CRIU_CUDA_STREAMS = 99\n', 'wrong.conf'),
    });
    expect(get(report, 'settings')).toMatchObject({ status: 'broken' });
    expect(get(report, 'settings').found).toContain('accepted: 1-32');
    expect(report.ready).toBe(false);
  });

  it('reports variables that nothing reads', async () => {
    expect(get(await examineWith({ CRIU_CUDA_STREAM: '4' }), 'settings')).toMatchObject({
      status: 'warning',
    });
  });

  it('checks the run directory', async () => {
    const path = join(machine.dir, 'run');
    expect(get(await examineWith(), 'run-dir').found).toContain('will be created');
    mkdirSync(path);
    chmodSync(path, 0o755);
    expect(get(await examineWith(), 'run-dir').remedy).toContain(`chmod 0700 ${path}`);
    expect(get(await examineWith({ CRIU_CUDA_RUN_DIR: join(machine.dir, 'a/b') }), 'run-dir').status).toBe(
      'missing',
    );
  });

  it('checks the image store', async () => {
    write('proc/self/mountinfo', `1 0 0:1 / / rw - tmpfs tmpfs rw,size=1g\n`);
    const report = await examineWith({}, join(machine.dir, 'images', 'one'));
    const store = get(report, 'image-store');
    expect(store.found).toMatch(/tmpfs, [\d.]+ [GMT]iB free$/);
    expect(store.remedy).toContain('huge=always');
  });
});

describe('findMount', () => {
  it('picks the longest mount point, the last of two equal ones, and decodes escapes', () => {
    const text = [
      '1 0 0:1 / / rw - ext4 /dev/a rw',
      '2 1 0:2 / /mnt rw - ext4 /dev/b rw',
      '3 1 0:3 / /mnt rw,noexec shared:1 - tmpfs tmpfs rw,huge=always',
      '4 1 0:4 / /mnt/with\\040space rw - xfs /dev/c rw',
    ].join('\n');
    expect(findMount(text, '/mntx/file')).toMatchObject({ point: '/', type: 'ext4' });
    expect(findMount(text, '/mnt')).toMatchObject({ type: 'tmpfs', options: 'rw,noexec,rw,huge=always' });
    expect(findMount(text, '/mnt/with space/a')).toMatchObject({ type: 'xfs' });
  });
});

describe('libdirsInOptions', () => {
  it('reads both forms and ignores comments', () => {
    expect(libdirsInOptions('# libdir /no\nlibdir /a\n  libdir = "/b c"\n--libdir=/c\nlibdirx /d\n')).toEqual(
      ['/a', '/b c', '/c'],
    );
  });
});

describe('the software driver', () => {
  it('is recognized', async (context) => {
    const library = softcudaLibrary();
    if (!existsSync(library)) context.skip('the C parts are not built: criu-cuda build');
    const report = await examineWith({ CRIU_CUDA_DRIVER: library });
    expect(get(report, 'cuda-driver')).toMatchObject({ status: 'ok' });
    expect(get(report, 'cuda-driver').found).toContain('it is the software driver');
  });
});
