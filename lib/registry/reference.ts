// SPDX-License-Identifier: MIT
/**
 * References to images in registries, `registry.example.com/models/llama:warm`.
 * @module
 */
import { UsageError } from '../errors.ts';

/** Where an image is. */
export interface Reference {
  /** The whole reference, with a tag or digest. */
  text: string;
  /** Host name or address of the registry, and its port if it is named. */
  registry: string;
  /** Path of the repository in the registry. */
  repository: string;
  /** `sha256:…`, if the reference names one manifest for good. */
  digest: string | undefined;
  /** The registry is on this machine. */
  isLoopback: boolean;
}

const HOST = /^(?:\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/i;
const REPOSITORY = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A first part without a dot or port is not a host name, but a path of some default registry: there is none here. */
const isHost = (word: string): boolean => HOST.test(word) && (/[.:]/.test(word) || word === 'localhost');

function isLoopbackHost(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '');
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Whether a word can only be a reference: it has a host, and is neither a path nor the name of a container. */
export function isReference(word: string): boolean {
  const slash = word.indexOf('/');
  return slash > 0 && isHost(word.slice(0, slash));
}

/** @throws {@link UsageError} for anything but a reference with its registry */
export function parseReference(word: string): Reference {
  const refuse = (why: string): never => {
    throw new UsageError(
      `"${word}" is not a reference to an image: ${why}`,
      'accepted: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST, such as registry.example.com/models/llama:warm',
    );
  };
  const slash = word.indexOf('/');
  const registry = word.slice(0, Math.max(0, slash));
  if (!isHost(registry)) refuse('it does not begin with the host name of a registry');
  const rest = word.slice(slash + 1);
  const [named = '', digest, ...others] = rest.split('@');
  const [repository = '', tag, ...more] = named.split(':');
  if (others.length > 0 || more.length > 0) refuse('it has two tags or digests');
  if (!REPOSITORY.test(repository))
    refuse('a repository has lower-case letters, digits, and separators between them');
  if (tag !== undefined && !TAG.test(tag)) refuse('a tag has at most 128 letters, digits, dots and dashes');
  if (digest !== undefined && !DIGEST.test(digest)) refuse('a digest is sha256: and 64 hexadecimal digits');
  if (digest !== undefined && tag !== undefined) refuse('it has a tag and a digest');
  const text = digest === undefined ? `${registry}/${repository}:${tag ?? 'latest'}` : word;
  return { text, registry, repository, digest, isLoopback: isLoopbackHost(registry) };
}
