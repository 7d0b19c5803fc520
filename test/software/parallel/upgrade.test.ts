// SPDX-License-Identifier: MIT
/** The interceptor is upgraded in place between a dump and a restore. */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { interceptorLibrary, newestInterceptor, pluginSourceDir } from '../../../lib/paths.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

/** Puts a build where the C build puts its own, and gives it its name as the C build does. */
async function install(from: string, dir: string): Promise<string> {
  const plain = join(dir, 'libcuda_intercept.so');
  rmSync(plain, { force: true });
  copyFileSync(from, plain);
  const script = join(pluginSourceDir, 'cmake', 'version_intercept.cmake');
  await exec('cmake', ['-DREADELF=readelf', `-DFILE=${plain}`, '-P', script]);
  return newestInterceptor(dir);
}

/** A build that differs in its build id and its size. */
async function anotherBuild(): Promise<string> {
  const path = join(machine.dir, 'another.so');
  const note = join(machine.dir, 'note');
  copyFileSync(interceptorLibrary(), path);
  await exec('objcopy', ['--dump-section', `.note.gnu.build-id=${note}`, path]);
  const bytes = readFileSync(note);
  bytes.fill(0xa5, 16);
  writeFileSync(note, bytes);
  await exec('objcopy', ['--update-section', `.note.gnu.build-id=${note}`, '--strip-debug', path]);
  return path;
}

it('restores an image of the earlier build, and starts programs with the later one', async () => {
  const first = await install(interceptorLibrary(), machine.dir);
  const workload = await machine.startIntercepted({ LD_PRELOAD: first });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  const dumped = await machine.tryDump(workload);
  expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
  expect(machine.manifests()).toHaveLength(1);

  const second = await install(await anotherBuild(), machine.dir);
  expect(basename(second)).toBe('libcuda_intercept-a5a5a5a5a5a5a5a5.so');
  expect(existsSync(first)).toBe(true);
  const restored = await machine.tryRestore();
  expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
  expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
  expect(readFileSync(`/proc/${workload.pid}/maps`, 'utf8')).toContain(first);

  const next = await machine.startIntercepted({ LD_PRELOAD: second });
  expect(readFileSync(`/proc/${next.pid}/maps`, 'utf8')).toContain(second);
  await next.verify();
});

it('the same build again leaves the file that processes have mapped', async () => {
  const first = await install(interceptorLibrary(), machine.dir);
  const workload = await machine.startIntercepted({ LD_PRELOAD: first });
  expect(await install(interceptorLibrary(), machine.dir)).toBe(first);
  const maps = readFileSync(`/proc/${workload.pid}/maps`, 'utf8');
  expect(maps).toContain(first);
  expect(maps).not.toContain(`${first} (deleted)`);
  expect(readdirSync(machine.dir).filter((name) => name.startsWith('libcuda_intercept'))).toHaveLength(2);
});
