// SPDX-License-Identifier: MIT
// Three nodes, each a cache directory of its own, and one registry: what a node gets from another, it does not ask of the
// registry, and whatever is wrong with the other, it gets all of it.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { verifyGpuImages } from '../../../lib/images/index.ts';
import { readChildren, waitForExit } from '../../../lib/process/index.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { cacheImage, pullImage, pushImage, type PullResult } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { waitUntil } from '../../helpers/wait.ts';

const ARGS = ['--alloc', '8Mx24', '--host', '6M', '--seed', '7'];
const TIMEOUT_MS = 180_000;

let source: Machine;
let machine: Machine;
let registry: TestRegistry;
let reference: string;
let keyFile: string;
const servers: ChildProcess[] = [];
beforeAll(async () => {
  source = new Machine();
  const workload = await source.start({ args: ARGS, env: { LD_PRELOAD: interceptorLibrary() } });
  const run = await source.dump(workload, { libdir: variantDir('parallel') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
});
afterAll(() => source.close());
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  machine = new Machine();
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  reference = registry.reference('models/pattern:warm');
  await pushImage(source.imagesDir, reference);
  keyFile = join(machine.dir, 'key');
  writeFileSync(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    if (server.exitCode !== null || server.signalCode !== null) continue;
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
  await registry.stop();
  await machine.close();
});

const cli = (...words: string[]): string[] => [join(projectRoot, 'dist/cli.js'), ...words];
const cacheOf = (node: string): string => join(machine.dir, node);
const blobsOf = (node: string): string[] => readdirSync(join(cacheOf(node), 'blobs/sha256'));

interface Serving {
  key?: string;
  processes?: number;
  /** As the leader of a process group. */
  detached?: boolean;
}

/** `criu-cuda image serve` on a node. @returns its address */
async function serve(
  node: string,
  { key = keyFile, processes = 2, detached = false }: Serving = {},
): Promise<string> {
  const place = ['--listen', '127.0.0.1:0', '--cache', cacheOf(node)];
  const words = cli('image', 'serve', '--key', key, '--processes', String(processes), ...place);
  const server = spawn(process.execPath, words, {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], env: machine.env, detached },
  });
  servers.push(server);
  let text = '';
  server.stderr.on('data', (part: Buffer) => (text += part.toString()));
  await waitUntil(() => text.includes('serving at') || server.exitCode !== null);
  const [, address = ''] = /serving at (\S+)/.exec(text) ?? [];
  expect(address, text).not.toBe('');
  return address;
}

const pullTo = (node: string, peers: string[], peerKey = keyFile): Promise<PullResult> =>
  pullImage(reference, join(machine.dir, `${node}-images`), { cache: cacheOf(node), peers, peerKey });

/** All that the node has is right, wherever it came from. */
async function expectWhole({ imagesDir, movedBytes, cachedBytes }: PullResult): Promise<void> {
  for (const image of await verifyGpuImages(imagesDir)) expect(image).toMatchObject({ ok: true });
  expect(movedBytes + cachedBytes).toBeGreaterThan(100 * 2 ** 20);
}

const blobRequests = async (from: number): Promise<string[]> =>
  (await registry.answered(from))
    .filter(({ method, path, bytes }) => method === 'GET' && path.includes('/blobs/') && bytes > 20_000)
    .map(({ path }) => path);

it(
  'a node gets all blocks from another, and a third one from both; the registry is asked for none',
  async () => {
    const first = await pullTo('a', []);
    expect(first.peerBytes).toBe(0);
    const before = await registry.asked();
    const second = await pullTo('b', [await serve('a')]);
    await expectWhole(second);
    expect(second).toMatchObject({ movedBytes: first.movedBytes, peerBytes: first.movedBytes, warnings: [] });
    expect(await blobRequests(before)).toEqual([]);
    // each has a part
    const blobs = blobsOf('a').sort();
    for (const [index, name] of blobs.entries())
      rmSync(join(cacheOf(index % 2 === 0 ? 'a' : 'b'), 'blobs/sha256', name));
    const peers = [await serve('a'), await serve('b')];
    const third = await pullTo('c', peers);
    await expectWhole(third);
    expect(third.peerBytes).toBe(first.movedBytes);
    expect(blobsOf('c').sort()).toEqual(blobs);
    expect(await blobRequests(before)).toEqual([]);
    for (const name of blobs)
      expect(statSync(join(cacheOf('c'), 'blobs/sha256', name)).mode & 0o777).toBe(0o400);
  },
  TIMEOUT_MS,
);

it(
  'nodes that begin at the same moment get blocks from each other, and the registry is asked for fewer',
  async () => {
    const nodes = ['a', 'b', 'c'];
    for (const node of nodes) mkdirSync(cacheOf(node), { mode: 0o700 });
    const peers: string[] = [];
    for (const node of nodes) peers.push(await serve(node));
    // a thread each: the last one that has its share finds another's
    const pull = async (node: string): Promise<PullResult> => {
      const words = cli('--json', 'image', 'pull', reference, join(machine.dir, `${node}-images`));
      const named = peers.flatMap((peer) => ['--peer', peer]);
      const more = ['--cache', cacheOf(node), '--peer-key', keyFile, ...named];
      const { stdout } = await exec('taskset', ['-c', '0', process.execPath, ...words, ...more]);
      return JSON.parse(stdout) as PullResult;
    };
    const before = await registry.asked();
    const pulled = await Promise.all(nodes.map(pull));
    for (const one of pulled) await expectWhole(one);
    expect(new Set(nodes.map((node) => blobsOf(node).sort().join())).size).toBe(1);
    const asked = await blobRequests(before);
    expect(asked.length).toBeLessThan(3 * new Set(asked).size);
    expect(Math.max(...pulled.map(({ peerBytes }) => peerBytes))).toBeGreaterThan(0);
    for (const { warnings } of pulled) expect(warnings).toEqual([]);
  },
  TIMEOUT_MS,
);

it(
  'the commands ask peers of a file and of the environment, and say what came from them',
  async () => {
    await pullTo('a', []);
    const address = await serve('a');
    const [server] = servers;
    const file = join(machine.dir, 'peers');
    writeFileSync(file, `${address}\n`);
    const words = cli(
      'image',
      'pull',
      reference,
      '--cache',
      cacheOf('b'),
      '--peers-file',
      file,
      '--peer-key',
      keyFile,
    );
    const { stdout } = await exec(process.execPath, words);
    expect(stdout).toMatch(
      /MiB moved \(.*MiB before compression; [\d.]+ MiB from peers\), 0 B from the cache/,
    );
    const env = { ...machine.env, CRIU_CUDA_PEERS: `${address},127.0.0.1:1`, CRIU_CUDA_PEER_KEY: keyFile };
    const third = await exec(process.execPath, cli('image', 'pull', reference, '--cache', cacheOf('c')), {
      env,
    });
    expect(third.stdout).toContain('from peers');
    expect(third.stderr).toContain('the peer 127.0.0.1:1 is not asked: ECONNREFUSED');
    let summary = '';
    server?.stdout?.on('data', (part: Buffer) => (summary += part.toString()));
    server?.kill('SIGTERM');
    if (server) await once(server, 'close');
    expect(summary).toMatch(/127\.0\.0\.1:\d+ sent [\d.]+ MiB in \d+ blocks/);
  },
  TIMEOUT_MS,
);

it(
  'what the policy of this machine refuses is used neither from the cache nor from peers',
  async () => {
    await cacheImage(reference, { cache: cacheOf('a') });
    const peer = await serve('a');
    const home = join(machine.dir, 'home');
    mkdirSync(join(home, '.config/containers'), { recursive: true });
    const decide = (type: string): void => {
      writeFileSync(join(home, '.config/containers/policy.json'), JSON.stringify({ default: [{ type }] }));
    };
    vi.stubEnv('HOME', home);
    try {
      decide('insecureAcceptAnything');
      await cacheImage(reference, { cache: cacheOf('b') });
      decide('reject');
      const refused = {
        code: 'ERR_REGISTRY',
        message: expect.stringContaining('rejected by policy') as string,
        hint: expect.stringContaining('containers-policy.json(5)') as string,
      };
      await expect(cacheImage(reference, { cache: cacheOf('b') })).rejects.toMatchObject(refused);
      await expect(
        pullImage(reference, join(machine.dir, 'pulled'), { cache: cacheOf('b') }),
      ).rejects.toMatchObject(refused);
      const fromPeer = { cache: cacheOf('c'), peers: [peer], peerKey: keyFile };
      await expect(cacheImage(reference, fromPeer)).rejects.toMatchObject(refused);
      expect(readdirSync(join(cacheOf('c'), 'images'))).toEqual([]);
      decide('insecureAcceptAnything');
      expect((await cacheImage(reference, fromPeer)).movedBytes).toBe(0);
    } finally {
      vi.unstubAllEnvs();
    }
  },
  TIMEOUT_MS,
);

it(
  'a peer with damaged blocks costs those blocks, and nothing of them is kept',
  async () => {
    const first = await pullTo('a', []);
    const dir = join(cacheOf('a'), 'blobs/sha256');
    for (const name of blobsOf('a')) {
      const bytes = readFileSync(join(dir, name));
      bytes.writeUInt32LE(~bytes.readUInt32LE(bytes.length - 8) >>> 0, bytes.length - 8);
      rmSync(join(dir, name));
      writeFileSync(join(dir, name), bytes);
    }
    truncateSync(join(dir, blobsOf('a')[0] ?? ''), 10);
    const second = await pullTo('b', [await serve('a')]);
    await expectWhole(second);
    expect(second).toMatchObject({ movedBytes: first.movedBytes, peerBytes: 0 });
  },
  TIMEOUT_MS,
);

it(
  'a peer that is killed while it sends: the registry has the rest',
  async () => {
    await pullTo('a', []);
    const address = await serve('a');
    const [server] = servers;
    const pulled = pullTo('b', [address]);
    await waitUntil(() => {
      try {
        return readdirSync(join(cacheOf('b'), 'blobs/sha256')).length > 0;
      } catch {
        return false;
      }
    });
    const processes = readChildren(server?.pid ?? 0);
    expect(processes.length).toBeGreaterThan(0);
    server?.kill('SIGKILL');
    await expectWhole(await pulled);
    // those that send end with it
    await Promise.all(processes.map((pid) => waitForExit(pid)));
    expect(readdirSync(join(cacheOf('b'), 'blobs/sha256')).filter((name) => name.startsWith('.'))).toEqual(
      [],
    );
  },
  TIMEOUT_MS,
);

it(
  'a peer with another key is not asked, and learns nothing',
  async () => {
    const first = await pullTo('a', []);
    const other = join(machine.dir, 'other-key');
    writeFileSync(other, randomBytes(32).toString('hex'), { mode: 0o600 });
    const address = await serve('a', { key: other });
    const second = await cacheImage(reference, { cache: cacheOf('b'), peers: [address], peerKey: keyFile });
    await expectWhole(second);
    expect(second).toMatchObject({
      ...{ movedBytes: first.movedBytes, peerBytes: 0 },
      warnings: [`the peer ${address} is not asked: it does not have the key`],
    });
  },
  TIMEOUT_MS,
);

/** Whether a process has a handler for a signal. */
function catches(pid: number, signal: NodeJS.Signals): boolean {
  const [, mask = '0'] = /^SigCgt:\s*([\da-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
}

it.each(['SIGINT', 'SIGTERM'] as const)(
  '%s to all processes of image serve at once, as a terminal and systemd send it, ends them in order',
  async (signal) => {
    await serve('a', { processes: 3, detached: true });
    const [server] = servers;
    const leader = server?.pid ?? 0;
    const processes = readChildren(leader);
    expect(processes).toHaveLength(3);
    for (const pid of processes) await waitUntil(() => catches(pid, signal));
    let text = '';
    server?.stdout?.on('data', (part: Buffer) => (text += part.toString()));
    process.kill(-leader, signal);
    if (server) await once(server, 'close');
    expect(text).toMatch(/sent 0 B in 0 blocks/);
    expect(server?.exitCode).toBe(128 + constants.signals[signal]);
    await Promise.all(processes.map((pid) => waitForExit(pid)));
  },
  TIMEOUT_MS,
);

it.each([
  [['--listen', '127.0.0.1:0'], 'no key was named'],
  [['--key', '/nonexistent'], 'no address to serve at was named'],
  [['--listen', '127.0.0.1:0', '--key', '/nonexistent'], 'cannot read the key of peers /nonexistent'],
])('image serve %o says what is missing', async (words, message) => {
  const { exitCode, stderr } = await execResult(process.execPath, cli('image', 'serve', ...words));
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain(message);
});

it('a cache that another user has is not served', async () => {
  const cache = cacheOf('a');
  mkdirSync(cache, { mode: 0o777 });
  await exec('chmod', ['777', cache]);
  const words = cli('image', 'serve', '--listen', '127.0.0.1:0', '--key', keyFile, '--cache', cache);
  const { exitCode, stderr } = await execResult(process.execPath, words);
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain('other users may change');
});
