// SPDX-License-Identifier: MIT
/** Connections with TLS to registries and peers, and whom they trust. @module */
import type { OnReadOpts } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';

/**
 * Options of a connection.
 * @param ca certificates that are trusted; `undefined`: a registry on this machine, whose certificate is not verified
 */
export const trustOptions = (ca: string[] | undefined): { ca?: string[]; rejectUnauthorized: boolean } => ({
  ...(ca === undefined ? {} : { ca }),
  rejectUnauthorized: ca !== undefined, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
});

/** Connects, and reads into one buffer, which Node does for TLS as well; only its types do not know. */
export const connectTls = (options: ConnectionOptions & { onread: OnReadOpts }): TLSSocket =>
  connect(options);
