// SPDX-License-Identifier: MIT
// One image in a registry, restored on "another node": in another mount namespace, below another root directory, with a
// cache of its own, and with nothing of the checkpoint on this one. Then from the cache, and through the pool.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { pushImage } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { snapshot } from '../../helpers/parallel.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';

const ARGS = ['--alloc', '8Mx6', '--host', '6M', '--seed', '3'];
const TIMEOUT_MS = 120_000;

let machine: Machine;
let registry: TestRegistry;
let cache: string;
let workload: Workload;
let before: string;
let reference: string;
let pid: number;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  machine = new Machine({}, '/tmp');
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  cache = join(machine.dir, 'cache');
  workload = await machine.start({ args: ARGS, env: { LD_PRELOAD: interceptorLibrary() } });
  ({ pid } = workload);
  before = await snapshot(workload);
  const run = await machine.dump(workload, { libdir: variantDir('full') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
  reference = registry.reference('models/pattern:warm');
  await pushImage(machine.imagesDir, reference);
  rmSync(machine.imagesDir, { recursive: true });
});
afterEach(async () => {
  await registry.stop();
  await machine.close();
});

const PEER_WARNING = 'the peer 127.0.0.1:1 is not asked: ECONNREFUSED';

/** Options that name a peer which does not run. */
function deadPeer(): string[] {
  const key = join(machine.dir, 'key');
  writeFileSync(key, randomBytes(32).toString('hex'), { mode: 0o600 });
  return ['--peer', '127.0.0.1:1', '--peer-key', key];
}

/** Types a command. @param under words in front of it */
const cli = (
  words: readonly string[],
  under: readonly string[] = [],
  more: Record<string, string | undefined> = {},
): Promise<ExecResult> => {
  const [file = '', ...rest] = [...under, process.execPath, join(projectRoot, 'dist/cli.js'), ...words];
  return execResult(file, rest, { env: { ...machine.env, CRIU_CUDA_CRIU: criuProgram(), ...more } });
};

it(
  'is restored on another node with the same memory',
  async () => {
    const root = join(machine.dir, 'root');
    mkdirSync(root);
    const node = [
      ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
      'mount --rbind / "$0" && exec chroot "$0" "$@"',
      root,
    ];
    const words = ['golden', 'restore', reference, '--cache', cache, '--detach', '--json', ...deadPeer()];
    const { stdout, stderr, exitCode } = await cli(words, node);
    expect(exitCode, stderr).toBe(0);
    const result = JSON.parse(stdout) as { pid: number; imagesDir: string; warnings: string[] };
    expect(result.warnings).toContain(PEER_WARNING);
    expect(result.pid).toBe(pid);
    expect(result.imagesDir.startsWith(`${cache}/images/`)).toBe(true);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(pid);
  },
  TIMEOUT_MS,
);

it(
  'finds the software driver by itself, as all commands about one program do',
  async (context) => {
    if (existsSync('/dev/nvidiactl')) context.skip('this machine has a GPU');
    const type = async (...words: string[]): Promise<string> => {
      const { stdout, stderr, exitCode } = await cli([...words, '--json'], [], {
        CRIU_CUDA_DRIVER: undefined,
      });
      expect(exitCode, stderr + stdout).toBe(0);
      return stdout;
    };
    expect(JSON.parse(await type('image', 'check', reference, '--cache', cache))).toMatchObject({
      canRestore: true,
    });
    await type('golden', 'restore', reference, '--cache', cache, '--detach');
    expect(await snapshot(workload)).toBe(before);
    const contexts = { contexts: [{ pid, state: 'running' }] };
    expect(JSON.parse(await type('context', 'list', '--pid', String(pid)))).toMatchObject(contexts);
    await machine.kill(pid);
  },
  TIMEOUT_MS,
);

it(
  'is restored from the cache when the registry sends nothing but its manifest, and by digest when nobody asks it',
  async () => {
    const words = ['golden', 'restore', reference, '--cache', cache, '--detach'];
    const first = await cli(words);
    expect(first.exitCode, first.stderr).toBe(0);
    expect(first.stderr).toMatch(/MiB moved.*, 0 B from the cache/);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(pid);

    const asked = await registry.asked();
    const second = await cli(words);
    expect(second.exitCode, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/ 0 B moved, [\d.]+ MiB from the cache/);
    expect(await registry.sentBytes(asked)).toBeLessThan(64 * 1024);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(pid);

    const inspected = await cli(['image', 'inspect', reference, '--json']);
    const { digest } = JSON.parse(inspected.stdout) as { digest: string };
    const unasked = await registry.asked();
    const pinned = reference.replace(/:[^:]*$/, `@${digest}`);
    const third = await cli(words.map((word) => (word === reference ? pinned : word)));
    expect(third.exitCode, third.stderr).toBe(0);
    expect(await registry.answered(unasked)).toEqual([]);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(pid);

    // logs of restores are not in the directory that jobs share
    const [image = ''] = readdirSync(join(cache, 'images'));
    const names = readdirSync(join(cache, 'images', image));
    expect(names.filter((name) => name.endsWith('.log'))).toEqual([]);
    for (const name of names.filter((one) => /^cuda-\d+-\d+\.img$/.test(one)))
      expect(statSync(join(cache, 'images', image, name)).nlink).toBe(2);
  },
  TIMEOUT_MS,
);

it(
  'is prefetched into device memory, and restored from there',
  async () => {
    await machine.startPool();
    const fetched = await cli(['pool', 'prefetch', reference, '--cache', cache, '--json', ...deadPeer()]);
    expect(fetched.exitCode, fetched.stderr).toBe(0);
    const { dir, ...more } = JSON.parse(fetched.stdout) as { dir: string };
    // of the pull, and of the check: criu alone has made these images
    const unknown = 'not compared, because the image does not say what the dump had: kernel, CRIU, CPU';
    expect(more).toMatchObject({ resident: 1, warnings: [PEER_WARNING, unknown] });
    expect((await machine.poolStatus()).images).toMatchObject([{ dir, state: 'resident' }]);
    const restored = await cli(['golden', 'restore', reference, '--cache', cache, '--detach']);
    expect(restored.exitCode, restored.stderr).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    expect((await machine.poolStatus()).images).toEqual([]);
    await machine.kill(pid);
  },
  TIMEOUT_MS,
);

const workDirs = (): string[] => readdirSync(cache).filter((name) => name.startsWith('work-'));

it.each([
  { signals: ['INT'], exitCodes: [130] },
  { signals: ['HUP', 'TERM'], exitCodes: [129, 143] },
])(
  'leaves no directory in the cache when $signals end it while criu restores',
  async ({ signals, exitCodes }) => {
    const criu = join(machine.dir, 'criu');
    const interruptions = signals.map((name) => `kill -${name} $COMMAND`).join('; ');
    const script = `[ "$1" = restore ] || exec ${criuProgram()} "$@"\nls ${cache} > ${criu}-seen\n${interruptions}\nexec sleep 60\n`;
    writeFileSync(criu, `#!/bin/sh\n${script}`, { mode: 0o755 });
    const words = ['golden', 'restore', reference, '--cache', cache];
    const { exitCode } = await cli(words, ['sh', '-c', 'COMMAND=$$ exec "$0" "$@"'], {
      CRIU_CUDA_CRIU: criu,
    });
    expect(exitCodes).toContain(exitCode);
    expect(readFileSync(`${criu}-seen`, 'utf8')).toMatch(/^work-/m);
    expect(workDirs()).toEqual([]);
  },
  TIMEOUT_MS,
);

it(
  'says once where the log of a restore that failed is, which stays',
  async () => {
    const criu = join(machine.dir, 'criu');
    const error = '(00.1) Error (criu/files-reg.c:1): File /x has bad size 1 (expect 2)';
    const script = [
      `[ "$1" = restore ] || exec ${criuProgram()} "$@"`,
      'for word; do [ "$last" = --work-dir ] && dir=$word; last=$word; done',
      `[ "$KNOWN" ] && echo "${error}" > $dir/restore.log || touch $dir/restore.log`,
      'exit 1',
    ];
    writeFileSync(criu, `#!/bin/sh\n${script.join('\n')}\n`, { mode: 0o755 });
    const words = ['golden', 'restore', reference, '--cache', cache, '--detach'];
    const said: string[] = [];
    for (const known of ['', '1']) {
      const failed = await cli(words, [], { CRIU_CUDA_CRIU: criu, KNOWN: known });
      expect(failed.exitCode, failed.stderr).toBe(1);
      said.push(...failed.stderr.split('\n').filter((line) => line.includes('the log is ')));
    }
    const logs = workDirs().map((name) => join(cache, name, 'restore.log'));
    expect(logs.every((log) => existsSync(log))).toBe(true);
    expect(said.map((line) => line.replace(/.*the log is /, '')).sort()).toEqual(logs.sort());
    expect(logs).toHaveLength(2);
  },
  TIMEOUT_MS,
);

it('what is for a container is refused with an image, and the other way around', async () => {
  const file = await cli(['golden', 'restore', reference, '--import', 'web.tar']);
  expect(file).toMatchObject({ exitCode: 2, stdout: '' });
  expect(file.stderr).toContain('--import is for a tar file, and an image was named');
  const container = await cli(['golden', 'restore', 'web', '--detach']);
  expect(container).toMatchObject({ exitCode: 2, stdout: '' });
  expect(container.stderr).toContain('--detach is for an image in a registry, and web is a container');
});
