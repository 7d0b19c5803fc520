// SPDX-License-Identifier: MIT
import { PeersSource, type PeersSpec } from '../peers/source.ts';
import { HttpSource, type HttpSourceSpec } from './http-source.ts';
import type { BlobSource } from './source.ts';

/** What a thread needs to open a source: plain data, which can be sent to it. */
export type SourceSpec = HttpSourceSpec | PeersSpec;

/** Opens a source in this thread. */
export function openSource(spec: SourceSpec): BlobSource {
  return spec.kind === 'peers' ? new PeersSource(spec) : new HttpSource(spec);
}
