// SPDX-License-Identifier: MIT
// Which registries are read without skopeo, and with which password.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { directAccess } from '../../../../lib/registry/fetch/access.ts';
import { authFiles, findCredentials } from '../../../../lib/registry/fetch/credentials.ts';
import { parseReference } from '../../../../lib/registry/reference.ts';

const AUTH = Buffer.from('reader:secret').toString('base64');

let dir: string;
let server: Server;
let challenge: string | undefined;
let registry: string;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
  challenge = undefined;
  server = createServer((_, answer) => {
    answer.writeHead(challenge === undefined ? 200 : 401, { 'www-authenticate': challenge ?? '' }).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.close();
  await once(server, 'close');
  rmSync(dir, { recursive: true });
});

/** Without a value, a file that is not JSON. */
const writeJson = (path: string, value?: object): string => {
  const file = join(dir, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, value === undefined ? '{' : JSON.stringify(value));
  return file;
};
const env = () => ({ HOME: dir, XDG_RUNTIME_DIR: join(dir, 'run') });
const access = (more: Record<string, string> = {}) =>
  directAccess(parseReference(`${registry}/models/llama:1`), {}, { ...env(), ...more });
const password = () => writeJson('run/containers/auth.json', { auths: { [registry]: { auth: AUTH } } });

it('an open registry on this machine, without TLS; no password is sent', async () => {
  password();
  expect(await access()).toMatchObject({
    ...{ origin: `http://${registry}`, repository: 'models/llama', authorization: undefined },
    ...{ plainTo: 'loopback', ca: undefined },
  });
});

it('a registry on this machine that sends everyone without TLS elsewhere is none without TLS', async () => {
  server.removeAllListeners('request').on('request', (_, answer: ServerResponse) => {
    answer.writeHead(301, { location: `https://${registry}/v2/` }).end();
  });
  expect(await access()).toBeUndefined();
});

it('a registry that asks for a password, which is there', async () => {
  challenge = 'Basic realm="x"';
  expect(await access()).toBeUndefined();
  password();
  expect(await access()).toMatchObject({ authorization: `Basic ${AUTH}` });
});

it('a registry that wants a token is left to skopeo', async () => {
  challenge = 'Bearer realm="https://auth.example.com/token"';
  password();
  expect(await access()).toBeUndefined();
});

it('a registry that does not answer is left to skopeo, which says why', async () => {
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  expect(await access()).toBeUndefined();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
});

it.each([
  ['a mirror', 'registries.conf', (name: string) => `[[registry]]\nlocation = "${name}"\n`, undefined],
  [
    'a mirror of a group',
    'registries.conf.d/x.conf',
    () => '[[registry]]\nprefix="*.example.com"\n',
    undefined,
  ],
  ['a comment', 'registries.conf', (name: string) => `# location = "${name}"\n`, true],
])('%s in the configuration of registries', async (_name, path, text, isDirect) => {
  const file = join(dir, '.config/containers', path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text(registry));
  expect((await access()) !== undefined).toBe(isDirect === true);
});

it('client certificates are left to skopeo, and a proxy has no part in a registry on this machine', async () => {
  expect(await access({ HTTPS_PROXY: 'http://192.0.2.1:3128' })).toBeDefined();
  const certs = join(dir, '.config/containers/certs.d', registry);
  mkdirSync(certs, { recursive: true });
  writeFileSync(join(certs, 'client.cert'), '');
  expect(await access()).toBeUndefined();
});

it.each([
  ['accepts everything', { default: 'insecureAcceptAnything' }, true],
  ['rejects everything', { default: 'reject' }, false],
  ['wants signatures of this registry', { default: 'insecureAcceptAnything', own: 'signedBy' }, false],
  ['wants signatures of another', { default: 'insecureAcceptAnything', 'r.example.com': 'signedBy' }, true],
  ['cannot be read', undefined, false],
])('a policy that %s', async (_name, types, isDirect) => {
  const { default: all, ...scopes } = types ?? {};
  const docker = Object.entries(scopes).map(([name, type]) => [name === 'own' ? registry : name, [{ type }]]);
  writeJson(
    '.config/containers/policy.json',
    types && { default: [{ type: all }], transports: { docker: Object.fromEntries(docker) as object } },
  );
  expect((await access()) !== undefined).toBe(isDirect);
});

it.each(['CONTAINERS_REGISTRIES_CONF', 'SSL_CERT_FILE'])('a file in %s that is not there', async (name) => {
  expect(await access({ [name]: join(dir, 'missing') })).toBeUndefined();
});

it('the entry that is closest to the repository is used', () => {
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:x`).toString('base64') });
  const file = writeJson('auth.json', {
    auths: { 'r.example.com': auth('host'), 'r.example.com/a': auth('a'), 'r.example.com/a/b': auth('b') },
  });
  const userOf = (repository: string): string => {
    const found = findCredentials('r.example.com', repository, [join(dir, 'missing'), file]);
    const encoded = found.kind === 'basic' ? found.authorization.slice('Basic '.length) : '';
    return Buffer.from(encoded, 'base64').toString();
  };
  expect(['a/b', 'a/c', 'z', 'a/b/c'].map(userOf)).toEqual(['b:x', 'a:x', 'host:x', 'b:x']);
});

it.each([
  ['a credential helper', { credHelpers: { 'r.example.com': 'ecr-login' } }, 'other'],
  ['a store of credentials', { credsStore: 'pass' }, 'other'],
  ['a token', { auths: { 'r.example.com': { identitytoken: 'x', auth: AUTH } } }, 'other'],
  ['an address', { auths: { 'https://r.example.com/v1/': { auth: AUTH } } }, 'other'],
  ['a line break in the password', { auths: { 'r.example.com': { auth: 'eDp4\r\nx: y' } } }, 'other'],
  ['another registry', { auths: { 'other.example.com': { auth: AUTH } } }, 'none'],
  ['no JSON', undefined, 'other'],
])('%s', (_name, content, kind) => {
  const file = writeJson('auth.json', content);
  expect(findCredentials('r.example.com', 'a', [file])).toEqual({ kind });
});

it('files are looked for where skopeo looks', () => {
  expect(authFiles('/x', { REGISTRY_AUTH_FILE: '/y' })).toEqual(['/x']);
  expect(authFiles(undefined, { REGISTRY_AUTH_FILE: '/y' })).toEqual(['/y']);
  expect(authFiles(undefined, { HOME: '/h', XDG_RUNTIME_DIR: '/r' })).toEqual([
    ...['/r/containers/auth.json', '/h/.config/containers/auth.json', '/h/.docker/config.json'],
  ]);
});
