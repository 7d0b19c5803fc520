// SPDX-License-Identifier: MIT
/**
 * Looks into the tar file of a checkpoint without unpacking it.
 * @module
 */
import { resolve } from 'node:path';
import { execResult } from '../exec.ts';
import { ContainerError } from './error.ts';
import { PODMAN_TIMEOUT_MS } from './podman.ts';

/** What describes the container in an archive. */
export interface ArchivedConfig {
  /** podman's own configuration: `config.dump`. */
  config: unknown;
  /** What the runtime was told: `spec.dump`. */
  spec: unknown;
  /** Names of the files in the directory with the images. */
  images: string[];
}

/** Kinds of members as `tar --list --verbose` writes them. */
const kinds: Readonly<Record<string, string>> = {
  l: 'a symbolic link',
  h: 'a hard link',
  b: 'a block device',
  c: 'a character device',
  p: 'a FIFO',
  s: 'a socket',
};

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', '"': '"', '\\': '\\' };

/** Decodes a name as tar quotes it in C style. */
const unquote = (text: string): string =>
  text.replaceAll(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code),
  );

const withoutDots = (path: string): string =>
  path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');

const quotedName = (line: string): string | undefined => /"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];

/** The names of the images; from the same listing as {@link memberProblems}. */
function imageNames(listing: string): string[] {
  return listing.split('\n').flatMap((line) => {
    const [dir, name, ...more] = withoutDots(unquote(quotedName(line) ?? '')).split('/');
    return dir === 'checkpoint' && name !== undefined && more.length === 0 ? [name] : [];
  });
}

/**
 * What is wrong with the members of an archive. podman writes files and directories with relative paths, each once.
 * @param listing of `tar --list --verbose --quoting-style=c`
 */
export function memberProblems(listing: string): string[] {
  const seen = new Set<string>();
  return listing
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const quoted = quotedName(line);
      if (quoted === undefined) return [`a member that cannot be read: ${line}`];
      const path = unquote(quoted);
      const shown = JSON.stringify(path);
      const kind = kinds[line.charAt(0)];
      if (kind !== undefined) return [`${shown} is ${kind}`];
      if (!'-d'.includes(line.charAt(0))) return [`${shown} is of an unknown kind`];
      if (path.startsWith('/')) return [`${shown} has an absolute path`];
      if (path.split('/').includes('..')) return [`${shown} leads out of the archive`];
      const plain = withoutDots(path);
      if (seen.has(plain)) return [`${shown} is there twice`];
      seen.add(plain);
      return [];
    });
}

async function runTar(
  words: readonly string[],
  file: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { stdout, stderr, exitCode } = await execResult('tar', words, {
    // tar reads a compressed file to its end
    timeoutMs: PODMAN_TIMEOUT_MS,
    env: { LC_ALL: 'C' },
    signal,
  });
  if (exitCode === 0) return stdout;
  throw new ContainerError('ERR_CONTAINER_IMPORT', `cannot read ${file}: ${stderr.trim()}`, {
    hint: 'it is not a tar file that criu-cuda container checkpoint --export has written',
  });
}

function parse(file: string, name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ContainerError('ERR_CONTAINER_IMPORT', `cannot read ${name} in ${file}`, { cause });
  }
}

/**
 * Reads the description of the container, in memory.
 * @throws {@link ContainerError} ERR_CONTAINER_IMPORT when podman did not write it, or has members that could be
 * written elsewhere
 */
export async function readArchive(file: string, signal?: AbortSignal): Promise<ArchivedConfig> {
  const path = resolve(file);
  const listing = await runTar(['-tvPf', path, '--quoting-style=c'], file, signal);
  const problems = memberProblems(listing);
  if (problems.length > 0) {
    throw new ContainerError(
      'ERR_CONTAINER_IMPORT',
      `${file} is not restored, because of what is in it:\n${problems.map((one) => `- ${one}`).join('\n')}`,
      { hint: 'podman writes only files and directories, with relative paths' },
    );
  }
  const read = async (name: string): Promise<unknown> =>
    parse(file, name, await runTar(['-xOPf', path, name], file, signal));
  return { config: await read('config.dump'), spec: await read('spec.dump'), images: imageNames(listing) };
}
