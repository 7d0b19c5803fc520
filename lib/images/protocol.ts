// SPDX-License-Identifier: MIT
/**
 * The interceptor is part of a process and of its image, and speaks the protocol of the version that dumped it. The
 * range is that of plugins-cuda/common/protocol/protocol.h, and a test compares them.
 * @module
 */
import type { GpuManifest } from './types.ts';

/** The protocols whose images this version restores. */
export const supportedProtocols: { readonly min: number; readonly max: number } = { min: 3, max: 4 };

/** The protocol of an image that does not say it. */
export const protocolBeforeTheField = 2;

/** Why this version cannot restore a process with this GPU image, and the remedy; undefined if it can. */
export function protocolRefusal(
  manifest: Pick<GpuManifest, 'protocol' | 'tool'>,
  name: string,
): string | undefined {
  const { protocol, tool } = manifest;
  const { min, max } = supportedProtocols;
  if (protocol < min) {
    return `${name}: protocol is ${protocol} (criu-cuda ${tool}); this version restores protocol ${min} and later: make the checkpoint again`;
  }
  if (protocol > max) {
    return `${name}: protocol is ${protocol}; this version restores protocols up to ${max}: use version ${tool} or later`;
  }
  return undefined;
}
