// SPDX-License-Identifier: MIT
/** What doctor says about Docker and containerd. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkMachine, type MachineCheck } from '../../../lib/doctor/index.ts';
import { compilePlugin } from '../inspect/compile.ts';
import { createMachine, criuScript, type TestMachine } from '../setup/machine.ts';

let machine: TestMachine;
let root: string;
beforeEach(() => {
  machine = createMachine();
  root = join(machine.dir, 'root');
  machine.script('cache/criu-4.2.1/criu', criuScript('4.2.1'));
  writeFileSync(join(machine.dir, 'cache/criu-4.2.1/COMPLETE'), '{}');
  machine.script('bin/dockerd', 'echo "Docker version 20.10.24+dfsg1, build 5d6db84"');
});
afterEach(() => {
  machine.remove();
});

function write(path: string, content: string): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** A daemon that runs. */
function running(pid: number, name: string, words: string[], env: Record<string, string>): void {
  write(`proc/${pid}/comm`, `${name}\n`);
  write(`proc/${pid}/cmdline`, [name, ...words, ''].join('\0'));
  write(
    `proc/${pid}/environ`,
    Object.entries(env)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(''),
  );
}

async function check(id: string): Promise<MachineCheck | undefined> {
  return (await checkMachine({ system: machine.system, root })).checks.find((one) => one.id === id);
}

it('says nothing of daemons that are not installed', async () => {
  expect(await check('containerd')).toBeUndefined();
});

it('names everything that an installed Docker lacks', async () => {
  expect(await check('dockerd')).toEqual({
    id: 'dockerd',
    title: 'Docker',
    status: 'warning',
    found:
      '20.10.24+dfsg1, no criu where systemd has it look, its criu loads no CUDA plugin, ' +
      'without experimental features, which docker checkpoint needs',
    remedy: 'criu-cuda container setup --variant full',
  });
});

it('reads the PATH and the flags of a running one', async () => {
  running(7, 'dockerd', ['--experimental'], { PATH: '/usr/local/sbin:/nowhere' });
  expect(await check('dockerd')).toMatchObject({
    found: '20.10.24+dfsg1, no criu on the PATH of process 7, its criu loads no CUDA plugin',
    remedy: 'criu-cuda container setup --variant full; then restart dockerd',
  });
  running(7, 'dockerd', ['--experimental'], { PATH: '/nowhere', CRIU_LIBS_DIR: '/plugins' });
  expect(await check('dockerd')).toMatchObject({
    found: '20.10.24+dfsg1, no criu on the PATH of process 7',
    remedy: `start it with a PATH that has criu: ${join(machine.dir, 'cache/criu-4.2.1/criu')}`,
  });
});

it('is content with criu on the PATH of the daemon, libdir, and experimental features', async () => {
  machine.script('sbin/criu', criuScript('4.2.1'));
  running(7, 'dockerd', [], { PATH: join(machine.dir, 'sbin') });
  running(8, 'containerd', [], { PATH: join(machine.dir, 'sbin') });
  write('etc/docker/daemon.json', '{"debug": false, "experimental": true}');
  write('etc/criu/runc.conf', 'libdir /plugins\n');
  expect(await check('containerd')).toMatchObject({
    status: 'warning',
    found: 'unknown version, its criu loads no CUDA plugin',
  });
  const dir = join(root, 'plugins');
  mkdirSync(dir);
  await compilePlugin(dir, 'cuda_plugin.so', {
    name: 'cuda_plugin',
    identity: 'ccr-plugin: version=1 variant=full',
  });
  expect(await check('dockerd')).toEqual({
    id: 'dockerd',
    title: 'Docker',
    status: 'ok',
    found: '20.10.24+dfsg1',
  });
  expect(await check('containerd')).toMatchObject({ status: 'ok' });
});
