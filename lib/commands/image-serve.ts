// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import type { Command } from 'commander';
import { addExamples, withOptions } from '../command-line/index.ts';
import { UsageError } from '../errors.ts';
import { formatBytes, type Io } from '../output.ts';
import { servePeers } from '../registry/index.ts';
import { wholeNumber } from './operation-options.ts';

interface Flags {
  listen?: string | undefined;
  key?: string | undefined;
  cache?: string | undefined;
  processes?: number | undefined;
}

async function serve(io: Io, { listen, key, cache, processes }: Flags): Promise<void> {
  if (listen === undefined)
    throw new UsageError(
      'no address to serve at was named',
      'name one of this node that the others reach: --listen 10.0.0.7:7400',
    );
  if (key === undefined)
    throw new UsageError(
      'no key was named, and without one everyone on the network could read the memory of programs',
      'make one, and copy it to all nodes: (umask 077; openssl rand -hex 32 > peers.key), then --key peers.key',
    );
  const server = await servePeers({ listen, key, cache, processes });
  if (!io.json) io.err(`serving at ${server.address} until Ctrl-C or SIGTERM`);
  try {
    if (!io.signal.aborted) await Promise.race([once(io.signal, 'abort'), server.failed]);
  } finally {
    await server.close();
  }
  const { address } = server;
  const use = server.use();
  io.result({ address, ...use }, () => `${address} sent ${formatBytes(use.bytes)} in ${use.blobs} blocks`);
}

export function defineImageServe(image: Command, io: Io): void {
  const command = image
    .command('serve')
    .description("send the blocks in this node's cache to other nodes that have the key")
    .option('--listen <address>', 'address of this node and port, such as 10.0.0.7:7400')
    .option('--key <file>', 'file with the key that nodes share: 64 hexadecimal digits, mode 0600')
    .option('--cache <dir>', 'directory for what comes from registries (default: in the user cache)')
    .option(
      '--processes <n>',
      'processes that send, each with at most one core (default: one for each three cores, at most 6)',
      wholeNumber(1, 64),
    )
    .action(withOptions((flags: Flags) => serve(io, flags)));
  addExamples(command, 'criu-cuda image serve --listen 10.0.0.7:7400 --key /etc/criu-cuda/peers.key');
}
