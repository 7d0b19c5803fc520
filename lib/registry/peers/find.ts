// SPDX-License-Identifier: MIT
/**
 * Finds out which peers answer, before blobs are asked for: all at the same time, so that any number of dead ones costs a
 * few seconds together.
 * @module
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { reasonOf } from '../../errno.ts';
import { UsageError } from '../../errors.ts';
import { readPeerKey } from './key.ts';
import { placeAmong, type NodePlace } from './order.ts';
import { clientTls, HELLO_PATH, NODE_HEADER, parsePeer } from './protocol.ts';
import type { PeersSpec } from './source.ts';

/** Other nodes whose caches are asked before the registry. */
export interface PeerOptions {
  /** `HOST:PORT` of each, where `criu-cuda image serve` runs. @default none */
  peers?: readonly string[] | undefined;
  /** File with one such node in each line; `#` begins a comment. @default none */
  peersFile?: string | undefined;
  /** File with the key that nodes share. */
  peerKey?: string | undefined;
}

/** Peers that can be asked, and what to tell the user about the others. */
export interface FoundPeers {
  /** `undefined`: no peer answers, or none was named. */
  spec: PeersSpec | undefined;
  /** The place of this node among them. */
  place: NodePlace;
  warnings: string[];
}

/** Until a peer answers. Milliseconds. */
const HELLO_MS = 5000;
/** Each blob may be asked for at each of them. */
const MOST_PEERS = 64;

function readPeers(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim())
      .filter((line) => line !== '');
  } catch (error) {
    throw new UsageError(`cannot read the list of peers ${path}: ${reasonOf(error)}`);
  }
}

/** @throws {@link UsageError} one is not an address, or there are too many */
function namedPeers({ peers = [], peersFile }: PeerOptions): string[] {
  const named = [...new Set([...peers, ...(peersFile === undefined ? [] : readPeers(peersFile))])];
  const wrong = named.find((one) => parsePeer(one) === undefined);
  if (wrong !== undefined)
    throw new UsageError(`"${wrong}" is not a host and a port`, 'name each peer like this: 10.0.0.7:7400');
  if (named.length > MOST_PEERS)
    throw new UsageError(
      `${named.length} peers are named, and at most ${MOST_PEERS} can be asked`,
      'name those nodes that get images first',
    );
  return named;
}

/** What a peer has answered. */
interface Hello {
  /** Why it cannot be asked; `undefined`: it can. */
  problem?: string | undefined;
  /** Which node it is, if it says so. */
  node?: string | undefined;
}

function greet(peer: string, key: string, signal: AbortSignal | undefined): Promise<Hello> {
  return new Promise((resolve) => {
    const place = parsePeer(peer);
    const request = get({ ...clientTls(key), ...place, path: HELLO_PATH, agent: false, signal }, (answer) => {
      const node = String(answer.headers[NODE_HEADER] ?? '');
      resolve(
        answer.statusCode === 204
          ? { node: /^[\da-f]{32}$/.test(node) ? node : undefined }
          : { problem: `it answers ${answer.statusCode ?? 0}` },
      );
      answer.destroy();
    });
    const timer = setTimeout(() => {
      request.destroy(new Error(`it does not answer in ${HELLO_MS} ms`));
    }, HELLO_MS);
    request.on('close', () => {
      clearTimeout(timer);
    });
    request.on('error', (error) => {
      const isKey = error.message.includes('SSL routines');
      resolve({ problem: isKey ? 'it does not have the key' : reasonOf(error) });
    });
  });
}

/**
 * Finds the peers that answer.
 * @param own which node this is
 * @throws {@link UsageError} the key or an address cannot be used
 */
export async function findPeers(
  options: PeerOptions,
  signal?: AbortSignal,
  own?: string,
): Promise<FoundPeers> {
  const named = namedPeers(options);
  if (named.length === 0) return { spec: undefined, place: placeAmong(own, []), warnings: [] };
  if (options.peerKey === undefined)
    throw new UsageError(
      'peers are named, and no key',
      'name the file with the key of all nodes: --peer-key FILE',
    );
  const key = readPeerKey(options.peerKey);
  const answers = await Promise.all(named.map((peer) => greet(peer, key, signal)));
  signal?.throwIfAborted();
  const peers = named.filter((_, index) => answers[index]?.problem === undefined);
  return {
    spec: peers.length === 0 ? undefined : { kind: 'peers', peers, key },
    place: placeAmong(
      own,
      answers.map(({ node }) => node),
    ),
    warnings: named.flatMap((peer, index) => {
      const problem = answers[index]?.problem;
      return problem === undefined ? [] : [`the peer ${peer} is not asked: ${problem}`];
    }),
  };
}
