// SPDX-License-Identifier: MIT
// What is believed of a registry's manifest, and what the cache keeps of it. A script has the place of skopeo, and a server
// that of a registry which needs nothing but HTTP.
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ImageCache } from '../../../lib/registry/cache.ts';
import { artifactType, digestOf, manifestType, mediaTypes } from '../../../lib/registry/format.ts';
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

/** Does something with a registry on this machine, which sends this for a path. */
async function withRegistry(
  answers: Record<string, { type?: string; text: string }>,
  use: (registry: string, paths: string[]) => Promise<void>,
): Promise<void> {
  const paths: string[] = [];
  const server = createServer(({ url = '' }, answer) => {
    paths.push(url);
    const { type = '', text = '' } = answers[url] ?? {};
    answer
      .writeHead(url === '/v2/' || url in answers ? 200 : 404, {
        'content-type': type,
        'content-length': text.length,
      })
      .end(text);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use(`127.0.0.1:${(server.address() as AddressInfo).port}`, paths);
  } finally {
    server.close();
    await once(server, 'close');
  }
}

const manifestPath = '/v2/models/llama/manifests/warm';
const configPath = `/v2/models/llama/blobs/${described}`;
const right = {
  [manifestPath]: { type: manifestType, text: manifest },
  [configPath]: { text: description },
};

it('skopeo has no part in it where nothing but HTTP is needed, and the registry is asked for the tag again', async () => {
  rmSync(join(dir, 'skopeo'));
  const cache = new ImageCache({ cache: join(dir, 'cache') });
  await withRegistry(right, async (registry, paths) => {
    const image = await findImage(`${registry}/models/llama:warm`, {}, cache);
    expect(image.digest).toBe(digestOf(manifest));
    expect(await image.access()).toMatchObject({ origin: `http://${registry}` });
    expect(paths).toEqual(['/v2/', manifestPath, configPath]);
    await findImage(`${registry}/models/llama:warm`, {}, cache);
    expect(paths.slice(3)).toEqual(['/v2/', manifestPath]);
  });
});

it.each([
  [
    'a list of manifests',
    { [manifestPath]: { type: 'application/vnd.oci.image.index.v1+json', text: '{}' } },
  ],
  ['another type', { [manifestPath]: { type: 'text/html', text: manifest } }],
  ['no manifest', {}],
  ['no description', { [manifestPath]: { type: manifestType, text: manifest } }],
])('skopeo is asked where the registry sends %s', async (_what, answers) => {
  await withRegistry(answers, async (registry) => {
    const { digest } = await findImage(`${registry}/models/llama:warm`, {});
    expect(digest).toBe(digestOf(manifest));
  });
});

it('a description with other bytes than its digest says is refused, and not kept', async () => {
  const changed = description.replace('1.0.0', '1.0.1');
  const cache = new ImageCache({ cache: join(dir, 'cache') });
  await withRegistry({ ...right, [configPath]: { text: changed } }, async (registry) => {
    await expect(findImage(`${registry}/models/llama:warm`, {}, cache)).rejects.toThrow(
      `other bytes than its digest ${described} says`,
    );
  });
  expect(existsSync(cache.blobPath(described))).toBe(false);
});
