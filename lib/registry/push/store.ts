// SPDX-License-Identifier: MIT
/**
 * Brings blocks from files to a registry: compressed and encrypted, and each different one once. They are sent by our own
 * connections where nothing but HTTP is needed, or else by skopeo.
 * @module
 */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfFile, encryptBlock } from '../age.ts';
import { isWorthCompressing } from '../compression/sample.ts';
import { compressFile, hasZstd } from '../compression/zstd.ts';
import { directAccess } from '../fetch/access.ts';
import type { HttpSourceSpec } from '../fetch/http-source.ts';
import { hexOf, mediaTypes, type Block, type BlockKind, type Layer } from '../format.ts';
import { digestsDir, writeImage } from '../layout.ts';
import type { Reference } from '../reference.ts';
import { pushLayout, type LayoutPlace, type RegistryOptions } from '../skopeo.ts';
import type { PushThreads } from './threads.ts';

/** What skopeo pushes at once, if there is more. Bytes. */
const BATCH_BYTES = 2 ** 30;

/** How blocks are stored. */
interface StoreOptions extends RegistryOptions {
  /** Keys of age. @default they are not encrypted */
  recipients?: readonly string[] | undefined;
}

/** A block, or what became of it, in a file. */
interface Stored {
  path: string;
  layer: Layer;
}

/** The blocks of one push. */
export class BlockStore {
  readonly #place: LayoutPlace;
  readonly #reference: Reference;
  readonly #threads: PushThreads;
  readonly #options: StoreOptions;
  /** By digest of the block: the layer that it is stored as, once it is. */
  readonly #layers = new Map<string, Promise<Layer>>();
  /** How blobs are sent without skopeo. */
  #direct: HttpSourceSpec | undefined;
  #batch: Stored[] = [];
  #pushed: Promise<void> = Promise.resolve();

  /** @param place layout for what skopeo pushes */
  constructor(place: LayoutPlace, reference: Reference, threads: PushThreads, options: StoreOptions) {
    this.#place = place;
    this.#reference = reference;
    this.#threads = threads;
    this.#options = options;
  }

  /** Finds out how the registry is reached. */
  async begin(): Promise<void> {
    this.#direct = await directAccess(this.#reference, this.#options);
  }

  /** Whether blocks of this kind may get another file before they are sent. Device memory is not compressed: docs/small-images.md. */
  rewrites(kind: BlockKind): boolean {
    return (this.#options.recipients ?? []).length > 0 || (kind !== 'stripe' && hasZstd());
  }

  /** What may wait for skopeo: a batch that it pushes, and the next one. Bytes. */
  get waitingBytes(): number {
    return this.#direct ? 0 : 2 * BATCH_BYTES;
  }

  /** Pushes the image of the layout. What the registry has of it need not be here. */
  async push(target: string): Promise<void> {
    await pushLayout(this.#place, target, this.#reference, this.#options);
  }

  /** Pushes the blocks of a batch as an image without a tag, and removes them here. */
  async #pushBatch(): Promise<void> {
    const { registry, repository } = this.#reference;
    const batch = this.#batch.splice(0);
    if (batch.length === 0) return;
    const layers = batch.map(({ layer }) => layer);
    const digest = writeImage(this.#place, '{}', layers);
    await this.push(`${registry}/${repository}@${digest}`);
    for (const { path } of batch) await rm(path, { force: true });
  }

  /** What a block is stored as before it is encrypted. Device memory is not compressed: docs/small-images.md. */
  async #compress({ digest, size, kind }: Block, path: string): Promise<Stored> {
    const plain = { path, layer: { mediaType: mediaTypes[kind], digest, size } };
    if (kind === 'stripe' || !hasZstd() || !(await isWorthCompressing(path, size))) return plain;
    const part = `${path}.zst`;
    const compressed = await compressFile(path, part, this.#options.signal, this.#threads.threadsEach);
    if (compressed >= size) {
      await rm(part);
      return plain;
    }
    await rm(path);
    const mediaType = `${mediaTypes[kind]}+zstd`;
    return { path: part, layer: { mediaType, digest: await digestOfFile(part), size: compressed } };
  }

  async #encrypt(stored: Stored): Promise<Stored> {
    const { recipients = [], signal } = this.#options;
    if (recipients.length === 0) return stored;
    const { mediaType } = stored.layer;
    const { path, digest, size } = await encryptBlock(stored.path, recipients, signal);
    return { path, layer: { mediaType: `${mediaType}+age`, digest, size } };
  }

  /** Leaves a blob to skopeo, for when there are more. */
  async #leave({ path, layer }: Stored): Promise<void> {
    const named = join(digestsDir(this.#place.blobsDir), hexOf(layer.digest));
    await rename(path, named);
    this.#batch.push({ path: named, layer });
    if (this.#batch.reduce((sum, { layer: { size } }) => sum + size, 0) < BATCH_BYTES) return;
    this.#pushed = this.#pushed.then(() => this.#pushBatch());
    await this.#pushed;
  }

  async #send(stored: Stored): Promise<void> {
    const { path, layer } = stored;
    const { digest, size } = layer;
    const spec = this.#direct;
    if (spec && (await this.#threads.run('upload', { spec, blob: { path, digest, size } }))) {
      await rm(path);
      return;
    }
    this.#direct = undefined;
    await this.#leave(stored);
  }

  async #store(block: Block, path: string): Promise<Layer> {
    const stored = await this.#encrypt(await this.#compress(block, path));
    await this.#send(stored);
    return stored.layer;
  }

  /** Stores a block, unless an equal one is stored. Its file is gone then, or left to skopeo. */
  async add(block: Block, path: string): Promise<void> {
    const known = this.#layers.get(block.digest);
    const layer = known ?? this.#store(block, path);
    if (known) await rm(path);
    else this.#layers.set(block.digest, layer);
    await layer;
  }

  /** Waits for what was left to skopeo; the last of it is for the image itself. */
  async settle(): Promise<void> {
    await this.#pushed;
  }

  /** What blocks are stored as, in their order. */
  async layersOf(blocks: readonly Block[]): Promise<Layer[]> {
    return Promise.all(blocks.flatMap(({ digest }) => this.#layers.get(digest) ?? []));
  }
}
