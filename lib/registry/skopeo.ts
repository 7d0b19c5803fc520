// SPDX-License-Identifier: MIT
/**
 * Moves images between a registry and a directory with skopeo, which knows registries, their tokens and credentials: those
 * of `skopeo login`, `podman login` and `docker login`.
 * @module
 */
import { CommandError, EnvironmentError } from '../errors.ts';
import { execResult, tailOf, type ExecResult } from '../exec.ts';
import { findOnPath } from '../machine/index.ts';
import { RegistryError } from './error.ts';
import { policyFile } from './fetch/policy.ts';
import type { Reference } from './reference.ts';

/** How a registry is reached. */
export interface RegistryOptions {
  /**
   * Accept a registry without TLS, or with a certificate that nobody vouches for. Without it, only one on this machine
   * may do so.
   * @default false
   */
  plainHttp?: boolean | undefined;
  /** File with credentials, as `skopeo login --authfile` writes it. @default that of skopeo */
  authFile?: string | undefined;
  /** Stops the transfer. */
  signal?: AbortSignal | undefined;
}

/** A transfer of a large image over a slow network takes long; a caller who sees no progress can abort. */
const TRANSFER_MS = 7 * 24 * 3600 * 1000;

/** For the manifest or the description of an image, which have a few hundred kilobytes. */
const READ_MS = 10 * 60 * 1000;

/** Attempts after a failure that may pass; skopeo waits twice as long before each. */
const RETRIES = 3;

/** @throws {@link EnvironmentError} there is no skopeo */
function requireSkopeo(): string {
  const path = findOnPath('skopeo', process.env.PATH);
  if (path !== undefined) return path;
  throw new EnvironmentError('skopeo is missing, which moves images to and from registries', [
    { what: 'skopeo', remedy: 'apt-get install --no-install-recommends skopeo' },
  ]);
}

/** skopeo starts only with a policy for signatures; where the machine has none, none is checked. */
const policyOptions = (): string[] => (policyFile(process.env) === undefined ? ['--insecure-policy'] : []);

function access(reference: Reference, options: RegistryOptions, prefix: 'src-' | 'dest-' | ''): string[] {
  const { plainHttp = false, authFile } = options;
  const isVerified = !plainHttp && !reference.isLoopback;
  return [
    `--${prefix}tls-verify=${String(isVerified)}`,
    ...(authFile === undefined ? [] : [`--${prefix}authfile=${authFile}`]),
  ];
}

/** What registries and skopeo say, and what can be done about it. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /server gave HTTP response to HTTPS client/,
    'it has no TLS, so that everyone on the way could read the memory of the program: use HTTPS, or accept that with --plain-http',
  ],
  [
    /certificate|x509/,
    "add the registry's CA below /etc/containers/certs.d, or accept any certificate with --plain-http",
  ],
  [
    /unauthorized|authentication required|denied|invalid username\/password|\b40[13]\b/i,
    'log in: skopeo login REGISTRY (or --authfile FILE)',
  ],
  [
    /rejected by policy|signature/i,
    'the policy of this machine for images says so: containers-policy.json(5)',
  ],
  [
    /manifest unknown|name unknown|not ?found|\b404\b/i,
    'check repository and tag: skopeo list-tags docker://REPOSITORY',
  ],
  [/no space left on device/i, 'free space there, or choose another file system'],
  [
    /digest|unexpected EOF|did not match|mismatch/i,
    'the registry has other bytes than it should: push the image again, or delete it there first',
  ],
  [
    /refused|timeout|timed out|no such host|unreachable|reset|EOF/i,
    'check that the registry runs; the next attempt continues with what is missing',
  ],
];

/** The message of skopeo's last line, without time and level. */
function reasonIn(text: string): string {
  const last = tailOf(text, 1);
  const message = /\bmsg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1] ?? last;
  return message.replaceAll('\\"', '"').replaceAll('\\\\', '\\');
}

function failure(what: string, { stderr, stdout }: ExecResult): RegistryError {
  const reason = reasonIn(stderr || stdout);
  const hint = HINTS.find(([pattern]) => pattern.test(reason))?.[1];
  const isDamaged = /digest did not match|blob .*mismatch|manifest.*digest/i.test(reason);
  return new RegistryError(isDamaged ? 'ERR_REGISTRY_IMAGE' : 'ERR_REGISTRY', `${what}: ${reason}`, { hint });
}

async function skopeo(
  what: string,
  words: readonly string[],
  { signal }: RegistryOptions,
  timeoutMs = TRANSFER_MS,
): Promise<string> {
  const result = await execResult(requireSkopeo(), [...policyOptions(), ...words], {
    timeoutMs,
    signal,
    env: { LC_ALL: 'C' },
  }).catch((error: unknown) => {
    if (!(error instanceof CommandError) || !error.facts.timedOut) throw error;
    throw new RegistryError('ERR_REGISTRY', `${what}: it has not come in ${timeoutMs / 60_000} minutes`, {
      hint: 'check that the registry runs',
      cause: error,
    });
  });
  if (result.exitCode !== 0) throw failure(what, result);
  return result.stdout;
}

/** The manifest of an image, as the registry has it. */
export const fetchManifest = (reference: Reference, options: RegistryOptions): Promise<string> =>
  skopeo(
    `cannot read ${reference.text}`,
    [
      ...['inspect', '--raw', `--retry-times=${RETRIES}`],
      ...access(reference, options, ''),
      `docker://${reference.text}`,
    ],
    options,
    READ_MS,
  );

/** The config of an image, as the registry has it. */
export const fetchConfig = (reference: Reference, options: RegistryOptions): Promise<string> =>
  skopeo(
    `cannot read the description of ${reference.text}`,
    [
      ...['inspect', '--config', '--raw', `--retry-times=${RETRIES}`],
      ...access(reference, options, ''),
      `docker://${reference.text}`,
    ],
    options,
    READ_MS,
  );

/** Where an OCI layout is. Blobs that several layouts share are in a directory of their own. */
export interface LayoutPlace {
  dir: string;
  blobsDir: string;
}

/** Pushes the only image of a layout. What the repository has already is not moved; its blobs need not be there. */
export async function pushLayout(
  { dir, blobsDir }: LayoutPlace,
  target: string,
  reference: Reference,
  options: RegistryOptions,
): Promise<void> {
  await skopeo(
    `cannot push to ${reference.text}`,
    [
      ...['copy', '--preserve-digests', `--retry-times=${RETRIES}`, `--src-shared-blob-dir=${blobsDir}`],
      ...access(reference, options, 'dest-'),
      ...[`oci:${dir}`, `docker://${target}`],
    ],
    options,
  );
}

/**
 * Pulls an image into a layout. Blobs that are in the directory are not moved again; each new one has its name only when
 * it is whole and has its digest.
 */
export async function pullLayout(
  { dir, blobsDir }: LayoutPlace,
  target: string,
  reference: Reference,
  options: RegistryOptions,
): Promise<void> {
  await skopeo(
    `cannot pull ${reference.text}`,
    [
      ...['copy', '--preserve-digests', `--retry-times=${RETRIES}`, `--dest-shared-blob-dir=${blobsDir}`],
      // an OCI layout has no place for signatures; they are checked
      ...['--dest-oci-accept-uncompressed-layers', '--remove-signatures'],
      ...access(reference, options, 'src-'),
      ...[`docker://${target}`, `oci:${dir}`],
    ],
    options,
  );
}
