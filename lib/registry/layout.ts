// SPDX-License-Identifier: MIT
/**
 * An OCI layout for one image: what skopeo reads and writes. Its blobs are in a directory of their own.
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifactType, digestOf, hexOf, manifestType, mediaTypes, type Layer } from './format.ts';
import type { LayoutPlace } from './skopeo.ts';

/** Directory of the blobs, each named by the digits of its digest. */
export const digestsDir = (blobsDir: string): string => join(blobsDir, 'sha256');

/** Creates the directories. */
export function createLayout(parent: string): LayoutPlace {
  const place = { dir: join(parent, 'layout'), blobsDir: join(parent, 'blobs') };
  mkdirSync(place.dir, { recursive: true, mode: 0o700 });
  mkdirSync(digestsDir(place.blobsDir), { recursive: true, mode: 0o700 });
  writeFileSync(join(place.dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return place;
}

/** Writes a blob, unless it is there. */
export function writeBlob(blobsDir: string, bytes: string | Uint8Array): { digest: string; size: number } {
  const digest = digestOf(bytes);
  writeFileSync(join(digestsDir(blobsDir), hexOf(digest)), bytes, { mode: 0o600 });
  return { digest, size: Buffer.byteLength(bytes) };
}

/** Puts an image of these layers into a layout, as its only one. @returns the digest of its manifest */
export function writeImage(place: LayoutPlace, description: string, layers: Layer[]): string {
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType,
    config: { mediaType: mediaTypes.description, ...writeBlob(place.blobsDir, description) },
    layers,
  });
  const entry = { mediaType: manifestType, ...writeBlob(place.blobsDir, manifest) };
  writeFileSync(join(place.dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  return entry.digest;
}
