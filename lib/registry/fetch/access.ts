// SPDX-License-Identifier: MIT
/**
 * Whether blobs of a registry can be read by HTTP, without skopeo: where neither tokens, credential helpers, mirrors, client
 * certificates, proxies nor signatures have a part in it.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { get as plainGet } from 'node:http';
import { get as tlsGet } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Environment } from '../../paths.ts';
import type { Reference } from '../reference.ts';
import type { RegistryOptions } from '../skopeo.ts';
import { authFiles, findCredentials } from './credentials.ts';
import type { HttpSourceSpec } from './http-source.ts';
import { isRestricted } from './policy.ts';
import { trustOptions } from './tls.ts';

const PROBE_MS = 10_000;

/** Where distributions keep the certificates that the machine trusts. */
const CA_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** The directories that containers-certs.d(5) names. */
const certDirs = (env: Environment, registry: string): string[] =>
  [
    join(env.HOME ?? homedir(), '.config/containers/certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ].map((dir) => join(dir, registry));

/** Files of containers-registries.conf(5). */
function registriesConfs(env: Environment): string[] {
  if (env.CONTAINERS_REGISTRIES_CONF !== undefined) return [env.CONTAINERS_REGISTRIES_CONF];
  const places = [join(env.HOME ?? homedir(), '.config/containers'), '/etc/containers'];
  return places.flatMap((dir) => {
    const parts = join(dir, 'registries.conf.d');
    const names = existsSync(parts) ? readdirSync(parts).filter((name) => name.endsWith('.conf')) : [];
    return [join(dir, 'registries.conf'), ...names.map((name) => join(parts, name))].filter((path) =>
      existsSync(path),
    );
  });
}

/** Whether a file says anything about a registry, such as a mirror; what it says is skopeo's business. */
function isConfigured(path: string, registry: string): boolean {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, ''))
    .filter((line) => /^\s*(?:prefix|location)\s*=/.test(line));
  const host = registry.replace(/:\d+$/, '');
  return lines.some((line) => line.includes(host) || line.includes('*.'));
}

function hasProxy(env: Environment): boolean {
  return ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some((name) => (env[name] ?? '') !== '');
}

/** The certificates that the machine trusts, and those for this registry. `undefined`: client certificates are wanted. */
function trusted(env: Environment, registry: string): string[] | undefined {
  const own: string[] = [];
  for (const dir of certDirs(env, registry).filter((path) => existsSync(path))) {
    const names = readdirSync(dir);
    if (names.some((name) => /\.(?:cert|key)$/.test(name))) return undefined;
    own.push(
      ...names.filter((name) => name.endsWith('.crt')).map((name) => readFileSync(join(dir, name), 'utf8')),
    );
  }
  const named = env.SSL_CERT_FILE;
  const file = named !== undefined && named !== '' ? named : CA_FILES.find((path) => existsSync(path));
  return [...(file === undefined ? rootCertificates : [readFileSync(file, 'utf8')]), ...own];
}

/** How a registry answers `GET /v2/` at an origin. */
interface Answer {
  status: number;
  challenge: string;
}

function probe(
  origin: string,
  ca: string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const options = {
      ...trustOptions(ca),
      ...{ agent: false as const, signal, timeout: PROBE_MS },
    };
    const get = origin.startsWith('https:') ? tlsGet : plainGet;
    const request = get(`${origin}/v2/`, options, (answer) => {
      resolve({
        status: answer.statusCode ?? 0,
        challenge: answer.headers['www-authenticate'] ?? '',
      });
      answer.destroy();
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => {
      resolve(undefined);
    });
  });
}

/** Where the registry is: with TLS, or without it where that is accepted. */
async function findOrigin(
  { registry, isLoopback }: Reference,
  { plainHttp = false, signal }: RegistryOptions,
  ca: string[],
): Promise<{ origin: string; answer: Answer; ca: string[] | undefined } | undefined> {
  const isVerified = !plainHttp && !isLoopback;
  const used = isVerified ? ca : undefined;
  const schemes = isVerified ? ['https'] : plainHttp ? ['https', 'http'] : ['http', 'https'];
  for (const origin of schemes.map((scheme) => `${scheme}://${registry}`)) {
    const answer = await probe(origin, used, signal);
    // a registry with TLS says to others that it has TLS, or where it is
    const isRegistry = answer?.status === 200 || answer?.status === 401;
    if (answer && (isRegistry || origin.startsWith('https:'))) return { origin, answer, ca: used };
  }
  return undefined;
}

async function findAccess(
  reference: Reference,
  options: RegistryOptions,
  env: Environment,
): Promise<HttpSourceSpec | undefined> {
  const { registry, repository, isLoopback } = reference;
  if (hasProxy(env) && !isLoopback) return undefined;
  if (isRestricted(reference, env)) return undefined;
  if (registriesConfs(env).some((path) => isConfigured(path, registry))) return undefined;
  const ca = trusted(env, registry);
  if (ca === undefined) return undefined;
  const credentials = findCredentials(registry, repository, authFiles(options.authFile, env));
  if (credentials.kind === 'other') return undefined;
  const found = await findOrigin(reference, options, ca);
  if (!found) return undefined;
  const { answer, origin } = found;
  const isOpen = answer.status === 200;
  const wantsPassword = answer.status === 401 && /^basic\b/i.test(answer.challenge);
  if (!isOpen && !(wantsPassword && credentials.kind === 'basic')) return undefined;
  return {
    ...{ kind: 'http', name: `the registry ${registry}`, origin, repository, ca: found.ca },
    authorization: credentials.kind === 'basic' && wantsPassword ? credentials.authorization : undefined,
    plainTo: options.plainHttp === true ? 'anywhere' : isLoopback ? 'loopback' : 'nowhere',
  };
}

/**
 * How blobs are read without skopeo.
 * @returns `undefined` where only skopeo can, or may know better
 */
export async function directAccess(
  reference: Reference,
  options: RegistryOptions,
  env: Environment = process.env,
): Promise<HttpSourceSpec | undefined> {
  try {
    return await findAccess(reference, options, env);
  } catch (error) {
    // a file of the configuration cannot be read, or has no certificates: skopeo does not need it, or says why
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
