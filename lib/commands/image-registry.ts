// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import type { Command } from 'commander';
import {
  addExamples,
  addOperands,
  imagesDirOperand,
  withOptions,
  type Operand,
} from '../command-line/index.ts';
import { formatBytes, formatCudaVersion, table, type Io } from '../output.ts';
import { bytesFor, withProgress } from '../progress.ts';
import {
  cacheImage,
  inspectImage,
  pullImage,
  pushImage,
  type DriverStack,
  type ImageCheck,
  type InspectedImage,
  type PullResult,
  type PushResult,
} from '../registry/index.ts';
import { parseSize } from '../size.ts';
import { showWarnings } from './operation-options.ts';

/** How a registry is reached. */
export interface RegistryFlags {
  plainHttp?: boolean | undefined;
  authfile?: string | undefined;
}

/** Where what comes from a registry is kept. */
export interface CacheFlags extends RegistryFlags {
  cache?: string | undefined;
  cacheBudget?: number | undefined;
  identity?: string | undefined;
  peer?: string[] | undefined;
  peersFile?: string | undefined;
  peerKey?: string | undefined;
  verify?: boolean | undefined;
}

interface PushFlags extends RegistryFlags {
  imagesDir: string;
  ref: string;
  recipient?: string[] | undefined;
  verify?: boolean | undefined;
}

interface PullFlags extends CacheFlags {
  ref: string;
  imagesDir?: string | undefined;
}

const referenceOperand = (): Operand => ({
  name: 'ref',
  description: 'image in a registry: REGISTRY/REPOSITORY:TAG',
});

const addWord = (word: string, words: string[] = []): string[] => [...words, word];

/** Options of every command that asks a registry. */
export function addRegistryOptions(command: Command): Command {
  return command
    .option('--authfile <file>', 'credentials, as skopeo login --authfile writes them')
    .option('--plain-http', 'accept a registry on another machine without TLS, or with any certificate');
}

/** Options of every command that fills the cache. */
export function addCacheOptions(command: Command): Command {
  return addRegistryOptions(command)
    .option('--cache <dir>', 'directory for what comes from registries (default: in the user cache)')
    .option(
      '--cache-budget <size>',
      'most bytes in it, such as 200G (default: half of its file system)',
      parseSize,
    )
    .option('--identity <file>', 'private key of age, for an encrypted image')
    .option('--peer <address>', 'HOST:PORT of a node that is asked before the registry; repeatable', addWord)
    .option('--peers-file <file>', 'file with one such node in each line')
    .option('--peer-key <file>', 'file with the key that nodes share, as for image serve')
    .option('--verify', 'read what is in the cache, and get again what has changed');
}

/** Peers: those that are named, or else those of the environment, for all nodes of a fleet. */
function peerOptions({ peer, peersFile, peerKey }: CacheFlags) {
  const { CRIU_CUDA_PEERS: list = '', CRIU_CUDA_PEER_KEY: key = '' } = process.env;
  const named = list.split(/[\s,]+/).filter((word) => word !== '');
  const isNamed = peer !== undefined || peersFile !== undefined;
  return { peers: isNamed ? peer : named, peersFile, peerKey: peerKey ?? (key === '' ? undefined : key) };
}

/** Options of the library for the flags of {@link addRegistryOptions} and {@link addCacheOptions}. */
export function registryOptions(flags: CacheFlags, { signal }: Io) {
  const { plainHttp, authfile: authFile, cache, cacheBudget, identity, verify } = flags;
  return { plainHttp, authFile, cache, cacheBudget, identity, verify, signal, ...peerOptions(flags) };
}

/** What is moved, and what it was before it was compressed. */
const compressedText = (stored: number, plain: number): string =>
  stored < plain ? `${formatBytes(stored)} (${formatBytes(plain)} before compression)` : formatBytes(stored);

const blocksText = (nr: number): string => `${nr} ${nr === 1 ? 'block' : 'blocks'}`;

function pushText({ reference, digest, bytes, blockBytes, storedBytes, blocks }: PushResult): string {
  const pinned = `${reference.replace(/:[^/:]*$/, '')}@${digest}`;
  return [
    `pushed ${reference}: ${formatBytes(bytes)}, stored in ${blocksText(blocks)} with ${compressedText(storedBytes, blockBytes)} in all`,
    `exactly this checkpoint: ${pinned}`,
  ].join('\n');
}

async function push(io: Io, flags: PushFlags): Promise<void> {
  const { imagesDir, ref, recipient } = flags;
  const result = await withProgress(io, `push to ${ref}`, (report) =>
    pushImage(imagesDir, ref, {
      ...registryOptions(flags, io),
      recipients: recipient,
      onProgress: bytesFor(io, report),
    }),
  );
  io.result(result, () => pushText(result));
  showWarnings(io, result.warnings);
}

/** What a pull did. */
export function pullText({
  reference,
  imagesDir,
  movedBytes,
  movedBlockBytes,
  peerBytes,
  cachedBytes,
}: PullResult): string {
  const more = [
    ...(movedBytes < movedBlockBytes ? [`${formatBytes(movedBlockBytes)} before compression`] : []),
    ...(peerBytes > 0 ? [`${formatBytes(peerBytes)} from peers`] : []),
  ];
  const moved = `${formatBytes(movedBytes)} moved${more.length > 0 ? ` (${more.join('; ')})` : ''}`;
  return `${reference} is in ${imagesDir}: ${moved}, ${formatBytes(cachedBytes)} from the cache`;
}

/** The machine that pulls need not be the one that restores. */
export function checkWarnings({ problems, warnings }: ImageCheck): string[] {
  return [...problems.map(({ text }) => `this machine cannot restore it: ${text}`), ...warnings];
}

/** What to tell the user after a pull whose image this machine can restore. */
export const pullWarnings = ({ warnings, check }: PullResult): string[] => [...warnings, ...check.warnings];

async function pull(io: Io, flags: PullFlags): Promise<void> {
  const { imagesDir, ref } = flags;
  const result = await withProgress(io, `pull of ${ref}`, (report) => {
    const options = { ...registryOptions(flags, io), onProgress: bytesFor(io, report) };
    return imagesDir === undefined ? cacheImage(ref, options) : pullImage(ref, resolve(imagesDir), options);
  });
  io.result(result, () => pullText(result));
  showWarnings(io, [...result.warnings, ...checkWarnings(result.check)]);
}

function driverText(version: number | null): string {
  return version === null ? 'unknown' : formatCudaVersion(version);
}

function stackRows(stack: DriverStack): string[][] {
  const known = (value: string | null): string => value ?? 'not recorded';
  return [
    ['CUDA driver API', driverText(stack.driver)],
    ...stack.gpus.map(({ name, bytes }) => ['GPU', `${name}, ${formatBytes(bytes)} of its memory`]),
    ['architecture', stack.architecture],
    ['kernel', known(stack.kernel)],
    ['CRIU', known(stack.criu)],
    ['plugin', `${known(stack.plugin)}, variant ${stack.variants ?? 'any'}`],
    ['interceptor', known(stack.interceptor?.path ?? null)],
    ['processes', String(stack.processes)],
  ];
}

function inspectText({ reference, digest, description, layers }: InspectedImage): string {
  const { created, tool, stack, files, isEncrypted } = description;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const stored = layers.reduce((sum, { size }) => sum + size, 0);
  const different = new Map(description.blocks.map(({ digest: one, size }) => [one, size]));
  const plain = [...different.values()].reduce((sum, size) => sum + size, 0);
  return [
    `${reference}@${digest}`,
    `made ${created}, pushed by criu-cuda ${tool}`,
    isEncrypted
      ? `encrypted, ${formatBytes(stored)} in ${layers.length} layers`
      : `${files.length} files with ${formatBytes(bytes)}, stored in ${blocksText(layers.length)} with ${compressedText(stored, plain)} in all`,
    table(['needs', 'of the dump'], stackRows(stack)),
  ].join('\n');
}

async function inspect(io: Io, flags: RegistryFlags & { ref: string }): Promise<void> {
  const image = await inspectImage(flags.ref, registryOptions(flags, io));
  io.result(image, () => inspectText(image));
}

export function defineImageRegistry(image: Command, io: Io): void {
  const pushed = image
    .command('push')
    .description('push a checkpoint to an OCI registry, in blocks that images share');
  addOperands(pushed, [imagesDirOperand(), referenceOperand()]);
  addRegistryOptions(pushed)
    .option('--recipient <key>', 'encrypt it to a public key of age; repeatable', addWord)
    .option('--verify', 'read all files, also if they were pushed before and seem unchanged')
    .action(withOptions((flags: PushFlags) => push(io, flags)));
  addExamples(pushed, 'criu-cuda image push /var/lib/images registry.example.com/models/llama:warm');
  const pulled = image
    .command('pull')
    .description('pull a checkpoint from an OCI registry into the cache, and into a new directory');
  const target = {
    ...imagesDirOperand('directory that does not exist or is empty (default: only in the cache)'),
  };
  addOperands(pulled, [referenceOperand(), { ...target, isOptional: true }]);
  addCacheOptions(pulled).action(withOptions((flags: PullFlags) => pull(io, flags)));
  addExamples(
    pulled,
    'criu-cuda image pull registry.example.com/models/llama:warm /var/lib/images',
    'criu-cuda image pull registry.example.com/models/llama:warm',
  );
  const inspected = image
    .command('inspect')
    .description('show what an image in a registry needs and contains');
  addOperands(inspected, [referenceOperand()]);
  addRegistryOptions(inspected).action(
    withOptions((flags: RegistryFlags & { ref: string }) => inspect(io, flags)),
  );
  addExamples(inspected, 'criu-cuda image inspect registry.example.com/models/llama:warm');
}
