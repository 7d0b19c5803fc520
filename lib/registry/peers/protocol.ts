// SPDX-License-Identifier: MIT
/**
 * What nodes that pass blobs on agree about: HTTP over TLS 1.3 that both ends open with the same key (PSK, RFC 8446), so
 * that neither needs a certificate, and `GET /v1/blobs/DIGEST`, also of a range. It is loaded by every thread of a pull.
 * @module
 */

/** What nodes do not agree about: only these 256 bits. */
const IDENTITY = 'criu-cuda-peer-1';

const tls = { ciphers: 'TLS_AES_128_GCM_SHA256:PSK', minVersion: 'TLSv1.3' } as const;

/** Options of a server for connections with a key, hexadecimal. */
export const serverTls = (key: string) => ({
  ...tls,
  pskCallback: (_socket: unknown, identity: string): Buffer | null =>
    identity === IDENTITY ? Buffer.from(key, 'hex') : null,
});

/** Options of a client: who proves to have the key is a peer, and nobody becomes one by a certificate. */
export const clientTls = (key: string) => ({
  ...tls,
  pskCallback: () => ({ psk: Buffer.from(key, 'hex'), identity: IDENTITY }),
  ca: [],
  rejectUnauthorized: true,
  checkServerIdentity: (): Error => new Error('it has a certificate, and not the key'),
});

/** Answers 204 to those who have the key, and says in {@link NODE_HEADER} which node it is. */
export const HELLO_PATH = '/v1/';

/** What tells nodes from each other. */
export const NODE_HEADER = 'criu-cuda-node';

/** Where a blob is. */
export const blobPathOf = (digest: string): string => `/v1/blobs/${digest}`;

/** A host name or an address, and a port. */
export interface PeerAddress {
  host: string;
  port: number;
}

/** Takes `HOST:PORT`, with brackets around an IPv6 address. @returns `undefined`: it is something else */
export function parsePeer(text: string): PeerAddress | undefined {
  const [, brackets, plain, digits] = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = brackets ?? plain;
  const port = Number(digits);
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}
