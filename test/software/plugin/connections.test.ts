// SPDX-License-Identifier: MIT
/**
 * A dump that fails or is killed leaves the connections of clients: no rule of the machine drops their packets, and the
 * program never sees an error of its sockets.
 */
import { existsSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec, type ExecResult } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { killTree, readStat } from '../../../lib/process/index.ts';
import { Program } from '../../../lib/workload/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { PidNamespace } from '../../helpers/pid-namespace.ts';
import { waitUntil } from '../../helpers/wait.ts';

const helpers = join(dirname(fileURLToPath(import.meta.url)), '../../helpers');

let machine: Machine;
let program: Program;
let client: Socket;
let received: string;
beforeEach(() => {
  machine = new Machine();
  received = '';
});
afterEach(() => machine.close());

async function start(who: readonly string[]): Promise<void> {
  const portFile = join(machine.dir, 'port');
  const words = ['python3', join(helpers, 'connected.py'), portFile, ...who];
  program = await Program.run(words, machine.env, join(machine.dir, 'program.log'));
  await waitUntil(() => existsSync(portFile));
  client = connect(Number(readFileSync(portFile, 'utf8')), '127.0.0.1');
  client.on('data', (data: Buffer) => (received += data.toString()));
  client.on('error', () => undefined);
  await once(client, 'connect');
  await waitUntil(() => received.includes('10\n'));
}

/** What the machine has of CRIU's: rules of iptables, tables of nftables. */
async function rules(): Promise<string[]> {
  const { stdout: chains } = hasIptables ? await exec('iptables', ['-w', '-S']) : { stdout: '' };
  const { stdout: tables } = await exec('python3', ['-c', LIST_TABLES]);
  return [
    ...chains.split('\n').filter((rule) => rule.includes(`port ${client.remotePort}`)),
    ...tables.split('\n').filter((table) => table.includes('CRIU')),
  ];
}

/** The program nft need not be installed; criu needs the library only. */
const LIST_TABLES = `
import ctypes
nft = ctypes.CDLL("libnftables.so.1")
nft.nft_ctx_new.restype = ctypes.c_void_p
context = ctypes.c_void_p(nft.nft_ctx_new(0))
nft.nft_run_cmd_from_buffer(context, b"list tables")
`;

/** Every number came once and in order, and what the client sends is still answered. */
async function expectConnected(): Promise<void> {
  const before = received.length;
  client.write('hello\n');
  await waitUntil(() => received.includes('hello\n', before));
  const numbers = received.replace('hello\n', '').slice(0, received.lastIndexOf('\n')).trim().split('\n');
  expect(numbers.slice(0, -1)).toEqual(numbers.slice(0, -1).map((_, i) => String(i)));
  received = received.replace('hello\n', '');
}

/** CRIU runs the program iptables, and has the library for nftables itself. */
const hasIptables = findOnPath('iptables', process.env.PATH) !== undefined;
const lockers = hasIptables ? ['iptables', 'nftables'] : ['nftables'];
const who = [
  ['the process with CUDA', 'stock', []],
  ['its child without CUDA', 'remap', ['child']],
] as const;

describe.each(who)('the connection of %s, variant %s', (_name, variant, words) => {
  const libdir = variantDir(variant);
  afterEach(async () => {
    client.destroy();
    await killTree(program.pid);
  });

  it.each([...lockers, 'skip'])('--network-lock %s: criu is killed, or a script fails', async (method) => {
    await start(words);
    const flags = ['--tcp-established', '--network-lock', method];
    const before = await rules();
    // when the connection is locked, and the images are complete
    const killed = machine.actionScript('post-dump', 'kill -9 $PPID');
    await expect(machine.dumpPid(program.pid, { libdir, args: [...flags, ...killed] })).rejects.toThrow(
      'killed by SIGKILL',
    );
    await expect.poll(() => readStat(program.pid)?.state).not.toBe('T');
    await expectConnected();
    expect(await rules()).toEqual(before);

    const failing = machine.actionScript('post-dump', 'exit 1');
    const failed = await machine.dumpPid(program.pid, { libdir, args: [...flags, ...failing] });
    expect(failed.exitCode).not.toBe(0);
    await expectConnected();
    expect(await rules()).toEqual(before);
  });
});

it.each(lockers)(
  'in a network namespace of its own, --network-lock %s: packets pass after criu was killed',
  async (method) => {
    const space = new PidNamespace(machine);
    try {
      await space.start(['--alloc', '4M'], ['--net']);
      const inside = (...words: string[]): Promise<ExecResult> =>
        exec('nsenter', ['--net', '--target', String(space.pid), '--', ...words]);
      await inside('ip', 'link', 'set', 'lo', 'up');
      const ping = ['python3', '-c', PING];
      const args = ['--network-lock', method, ...machine.actionScript('post-dump', 'kill -9 $PPID')];
      await inside(...ping);
      await expect(space.dump({ args })).rejects.toThrow('killed by SIGKILL');
      await expect.poll(() => space.ask('verify')).toContain('checksum');
      await inside(...ping);
    } finally {
      await killTree(space.pid);
    }
  },
);

const PING = `
import socket
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname(), 3)
`;
