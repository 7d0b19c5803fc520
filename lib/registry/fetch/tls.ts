// SPDX-License-Identifier: MIT
/** Whom connections to registries and peers trust. @module */

/**
 * Options of a connection.
 * @param ca certificates that are trusted; `undefined`: a registry on this machine, whose certificate is not verified
 */
export const trustOptions = (ca: string[] | undefined): { ca?: string[]; rejectUnauthorized: boolean } => ({
  ...(ca === undefined ? {} : { ca }),
  rejectUnauthorized: ca !== undefined, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
});
