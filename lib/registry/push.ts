// SPDX-License-Identifier: MIT
/**
 * Pushes a checkpoint to a registry. Blocks are written to a temporary directory and pushed a few GiB at a time, so that
 * no second copy of the checkpoint is needed; what the registry has is not moved again.
 * @module
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { checkPath } from '../check.ts';
import { readInventory } from '../criu/index.ts';
import { directoryProblem, irregularImage } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import { moveChunks, type ChunkPlace } from '../images/index.ts';
import type { OnTransfer } from '../process/index.ts';
import { packageVersion } from '../version.ts';
import { checkRecipients, digestOfFile, encryptBlock } from './age.ts';
import { blockOf, writeBlocks, type WrittenBlock } from './blocks.ts';
import { isWorthCompressing } from './compression/sample.ts';
import { compressFile, hasZstd } from './compression/zstd.ts';
import { readContents, type Contents, type Sequence } from './contents.ts';
import { RegistryError } from './error.ts';
import {
  encryptedDescriptionType,
  hexOf,
  maxDescriptionBytes,
  mediaTypes,
  type Block,
  type Description,
  type ImageFile,
  type Layer,
} from './format.ts';
import { createLayout, digestsDir, writeBlob, writeImage } from './layout.ts';
import { parseReference } from './reference.ts';
import { pushLayout, type RegistryOptions } from './skopeo.ts';
import { readStack } from './stack.ts';

/** What is pushed at once, if there is more. Bytes. */
const BATCH_BYTES = 2 * 2 ** 30;

/** What to push, and how. */
export interface PushOptions extends RegistryOptions {
  /** Keys of age, `age1…`, whose owners can pull it. @default it is not encrypted */
  recipients?: readonly string[] | undefined;
  /** Called with the bytes that were read, hashed and pushed. */
  onProgress?: OnTransfer | undefined;
}

/** What was pushed. */
export interface PushResult {
  /** The reference, with its tag. */
  reference: string;
  /** Digest of the manifest: with it, a pull gets this checkpoint and no other. */
  digest: string;
  /** Bytes of the checkpoint's files. */
  bytes: number;
  /** Bytes of all blocks, each different one once, before they are compressed and encrypted. */
  blockBytes: number;
  /** Bytes of them in the registry. */
  storedBytes: number;
  /** Number of different blocks. */
  blocks: number;
  /** It is encrypted. */
  isEncrypted: boolean;
  /** Messages for the user. */
  warnings: string[];
}

/** One push: the temporary layout, and what was written to it. */
class Push {
  readonly #imagesDir: string;
  readonly #options: PushOptions;
  readonly #reference;
  readonly #temporary = mkdtempSync(join(tmpdir(), 'criu-cuda-push-'));
  readonly #place = createLayout(this.#temporary);
  readonly #blocks: Block[] = [];
  /** By digest of the block: the layer that it is stored as. */
  readonly #layers = new Map<string, Layer>();
  #batch: { path: string; layer: Layer }[] = [];
  #blockBytes = 0;
  #readBytes = 0;
  #totalBytes = 0;

  constructor(imagesDir: string, reference: string, options: PushOptions) {
    this.#imagesDir = imagesDir;
    this.#options = options;
    this.#reference = parseReference(reference);
  }

  close(): void {
    rmSync(this.#temporary, { recursive: true, force: true });
  }

  async #push(target: string): Promise<void> {
    await pushLayout(this.#place, target, this.#reference, this.#options);
  }

  /** Pushes the blocks of a batch as an image without a tag, and removes them here. */
  async #pushBatch(): Promise<void> {
    const { registry, repository } = this.#reference;
    const layers = this.#batch.map(({ layer }) => layer);
    const digest = writeImage(this.#place, '{}', layers);
    await this.#push(`${registry}/${repository}@${digest}`);
    for (const { path } of this.#batch) await rm(path, { force: true });
    this.#batch = [];
  }

  /** What a block is stored as before it is encrypted. Device memory is not compressed: docs/small-images.md. */
  async #compress({ block, path }: WrittenBlock): Promise<{ path: string; layer: Layer }> {
    const { digest, size, kind } = block;
    const plain = { path, layer: { mediaType: mediaTypes[kind], digest, size } };
    if (kind === 'stripe' || !hasZstd() || !(await isWorthCompressing(path, size))) return plain;
    const part = `${path}.zst`;
    const compressed = await compressFile(path, part, this.#options.signal);
    if (compressed >= size) {
      await rm(part);
      return plain;
    }
    await rm(path);
    const layer = {
      mediaType: `${mediaTypes[kind]}+zstd`,
      digest: await digestOfFile(part),
      size: compressed,
    };
    const named = join(dirname(path), hexOf(layer.digest));
    await rename(part, named);
    return { path: named, layer };
  }

  async #add(written: WrittenBlock): Promise<void> {
    const { block } = written;
    const { recipients = [], onProgress, signal } = this.#options;
    this.#blocks.push(block);
    this.#readBytes += block.size;
    onProgress?.({ doneBytes: this.#readBytes, totalBytes: Math.max(this.#readBytes, this.#totalBytes) });
    if (this.#layers.has(block.digest)) {
      // it has been pushed, or its file has the same name
      if (!this.#batch.some(({ path }) => path === written.path)) await rm(written.path);
      return;
    }
    this.#blockBytes += block.size;
    let { path, layer } = await this.#compress(written);
    if (recipients.length > 0) {
      const { mediaType } = layer;
      const encrypted = await encryptBlock(path, recipients, signal);
      path = encrypted.path;
      layer = { mediaType: `${mediaType}+age`, digest: encrypted.digest, size: encrypted.size };
    }
    this.#layers.set(block.digest, layer);
    this.#batch.push({ path, layer });
    if (this.#batch.reduce((sum, { layer }) => sum + layer.size, 0) >= BATCH_BYTES) await this.#pushBatch();
  }

  async #writeSequence(sequence: Sequence, names: ReadonlyMap<string, number>): Promise<ChunkPlace[]> {
    const { signal } = this.#options;
    return writeBlocks(sequence, {
      imagesDir: this.#imagesDir,
      dir: digestsDir(this.#place.blobsDir),
      fileIndex: (name) => names.get(name) ?? 0,
      onBlock: (written) => this.#add(written),
      signal,
    });
  }

  /** The files of a GPU image: its blocks, which are its stripes, and its manifest, in a block that is returned. */
  async #writeGpuImage(
    sequence: Sequence,
    files: ImageFile[],
  ): Promise<{ index: number; bytes: Buffer } | undefined> {
    const { image } = sequence;
    if (!image) return undefined;
    const modified = image.manifest.created.getTime() / 1000;
    const first = this.#blocks.length;
    const places = await this.#writeSequence(sequence, new Map());
    const stripes = this.#blocks.slice(first);
    const { pid } = image.manifest;
    for (const [index, { size }] of stripes.entries())
      files.push({ name: `cuda-${pid}-${index}.img`, size, mode: 0o600, modified, block: first + index });
    const sizes = stripes.map(({ size }) => size);
    const bytes = await moveChunks(join(this.#imagesDir, image.name), places, sizes);
    files.push({ name: image.name, size: bytes.length, mode: 0o600, modified });
    return { index: files.length - 1, bytes };
  }

  async #writeContents({ files: sources, sequences }: Contents): Promise<ImageFile[]> {
    const pieces = sequences.flatMap((sequence) => sequence.pieces);
    this.#totalBytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const files: ImageFile[] = sources.map((file) => ({ ...file }));
    const names = new Map(files.map(({ name }, index) => [name, index]));
    const manifests = [];
    for (const sequence of sequences) {
      const manifest = await this.#writeGpuImage(sequence, files);
      if (manifest) manifests.push(manifest);
      else if (!sequence.image) await this.#writeSequence(sequence, names);
    }
    if (manifests.length > 0) {
      const { block, bytes } = blockOf(manifests);
      const { digest } = writeBlob(this.#place.blobsDir, bytes);
      await this.#add({ block, path: join(digestsDir(this.#place.blobsDir), hexOf(digest)) });
    }
    return files;
  }

  #checkDescription({ length }: string): void {
    if (length <= maxDescriptionBytes) return;
    throw new RegistryError(
      'ERR_REGISTRY',
      `the description of ${this.#imagesDir} has ${length} bytes, and registry clients read ${maxDescriptionBytes}`,
      { hint: "keep host memory out of CRIU's images, with the variants remap, parallel or full" },
    );
  }

  /** The description is encrypted, too; only what a machine needs to have can be read by everyone. */
  async #encryptDescription(text: string): Promise<Layer> {
    const { recipients = [], signal } = this.#options;
    const { digest } = writeBlob(this.#place.blobsDir, text);
    const path = join(digestsDir(this.#place.blobsDir), hexOf(digest));
    const encrypted = await encryptBlock(path, recipients, signal);
    return { mediaType: encryptedDescriptionType, digest: encrypted.digest, size: encrypted.size };
  }

  async run(): Promise<PushResult> {
    const { recipients = [], signal } = this.#options;
    const stack = await readStack(this.#imagesDir, signal);
    const files = await this.#writeContents(await readContents(this.#imagesDir));
    const created = statSync(join(this.#imagesDir, 'inventory.img')).mtime.toISOString();
    const isEncrypted = recipients.length > 0;
    const common = { schemaVersion: 1 as const, tool: packageVersion(), created, stack };
    const text = JSON.stringify({ ...common, isEncrypted: false, files, blocks: this.#blocks });
    this.#checkDescription(text);
    const layers = [...this.#layers.values()];
    const open: Description = { ...common, isEncrypted, files: [], blocks: [] };
    const digest = isEncrypted
      ? writeImage(this.#place, JSON.stringify(open), [...layers, await this.#encryptDescription(text)])
      : writeImage(this.#place, text, layers);
    await this.#push(this.#reference.text);
    return {
      ...{ reference: this.#reference.text, digest, isEncrypted },
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      blockBytes: this.#blockBytes,
      storedBytes: layers.reduce((sum, { size }) => sum + size, 0),
      blocks: layers.length,
      warnings: [
        `${this.#reference.text} has the memory and the environment of the program, with every password and key in it: anyone who can pull it can read them${isEncrypted ? ', with one of the keys' : ''}`,
        ...(hasZstd()
          ? []
          : [
              'host memory was not compressed, because zstd is missing: apt-get install --no-install-recommends zstd',
            ]),
      ],
    };
  }
}

/** @throws the error with a remedy, where the temporary directory is full */
function explainFull(error: unknown): never {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
  throw new EnvironmentError(`the temporary directory is full: ${tmpdir()}`, [
    { what: '3 GiB of free space', remedy: 'free space, or set TMPDIR to a directory that has it' },
  ]);
}

/**
 * Pushes the checkpoint in a directory. A second push of the same, or of one that shares blocks with it, moves only what
 * the registry does not have; so does one after a failure.
 * @throws {@link RegistryError} the registry refuses or cannot be reached
 */
export async function pushImage(
  imagesDir: string,
  reference: string,
  options: PushOptions = {},
): Promise<PushResult> {
  checkPath('directory', imagesDir);
  const dir = resolve(imagesDir);
  checkRecipients(options.recipients ?? []);
  const target = parseReference(reference);
  if (target.digest !== undefined)
    throw new UsageError(`${reference} has a digest`, 'push to a tag; the digest is printed afterwards');
  const problem = directoryProblem(dir);
  if (problem !== undefined) throw new UsageError(problem, 'pass the images directory of a checkpoint');
  const irregular = irregularImage(dir);
  if (irregular !== undefined)
    throw new UsageError(irregular, 'this directory is not as a checkpoint has left it: do not trust it');
  if (readInventory(dir) === undefined)
    throw new UsageError(
      `${dir} does not contain a complete checkpoint: inventory.img is missing`,
      'pass the images directory of a checkpoint',
    );
  const push = new Push(dir, reference, options);
  try {
    return await push.run();
  } catch (error) {
    return explainFull(error);
  } finally {
    push.close();
  }
}
