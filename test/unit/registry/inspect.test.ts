// SPDX-License-Identifier: MIT
// What is believed of a registry's manifest, and what the cache keeps of it. A script has the place of skopeo.
import { existsSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ImageCache } from '../../../lib/registry/cache.ts';
import { artifactType, digestOf, mediaTypes } from '../../../lib/registry/format.ts';
import { findImage } from '../../../lib/registry/inspect.ts';

const description = JSON.stringify({
  ...{ schemaVersion: 1, tool: '1.0.0', created: '2026-01-01T00:00:00Z', isEncrypted: false },
  ...{ files: [], blocks: [] },
  stack: {
    ...{ driver: null, gpus: [], architecture: 'x86_64', kernel: null, criu: null, cpu: null },
    ...{ plugin: null, variants: null, interceptor: null, protocol: null, processes: 1 },
  },
});
const described = digestOf(description);
const manifest = JSON.stringify({
  ...{ schemaVersion: 2, artifactType, layers: [] },
  config: { mediaType: mediaTypes.description, digest: described, size: description.length },
});
const REPOSITORY = 'registry.example.com/models/llama';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
  writeFileSync(join(dir, 'manifest'), manifest);
  writeFileSync(join(dir, 'config'), description);
  const script = `#!/bin/sh
case "$*" in *--config*) cat ${dir}/config ;; *) cat ${dir}/manifest ;; esac
`;
  writeFileSync(join(dir, 'skopeo'), script, { mode: 0o755 });
  vi.stubEnv('PATH', `${dir}:${process.env.PATH ?? ''}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

it('a registry that sends another manifest than the one that was named is not believed', async () => {
  const named = `sha256:${'0'.repeat(64)}`;
  const cache = new ImageCache({ cache: join(dir, 'cache') });
  const wrong = findImage(`${REPOSITORY}@${named}`, {}, cache);
  await expect(wrong).rejects.toThrow(`has the digest ${digestOf(manifest)}`);
  expect(existsSync(cache.blobPath(digestOf(manifest)))).toBe(false);
  const right = await findImage(`${REPOSITORY}@${digestOf(manifest)}`, {});
  expect(right.digest).toBe(digestOf(manifest));
});

it('what the cache keeps is used, without a registry, and is not what goes first when there is no room', async () => {
  const cache = new ImageCache({ cache: join(dir, 'cache') });
  const reference = `${REPOSITORY}@${digestOf(manifest)}`;
  await findImage(reference, {}, cache);
  rmSync(join(dir, 'skopeo'));
  const paths = [digestOf(manifest), described].map((one) => cache.blobPath(one));
  for (const path of paths) utimesSync(path, 1, 1);
  await findImage(reference, {}, cache);
  expect(paths.map((path) => statSync(path).mtimeMs > 1000)).toEqual([true, true]);
});
