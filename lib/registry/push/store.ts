// SPDX-License-Identifier: MIT
/**
 * Brings blocks to a registry: compressed and encrypted, and each different one once. They are sent by our own connections
 * where nothing but HTTP is needed, from where they are if that is what is stored; or else by skopeo, from files.
 * @module
 */
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestOfFile, encryptBlock } from '../age.ts';
import { isWorthCompressing } from '../compression/sample.ts';
import { compressFile, hasZstd } from '../compression/zstd.ts';
import { RegistryError } from '../error.ts';
import { directAccess } from '../fetch/access.ts';
import type { HttpSourceSpec } from '../fetch/http-source.ts';
import { hexOf, mediaTypes, type Block, type BlockKind, type Layer } from '../format.ts';
import { digestsDir, writeImage } from '../layout.ts';
import type { Reference } from '../reference.ts';
import { pushLayout, type LayoutPlace, type RegistryOptions } from '../skopeo.ts';
import type { PlannedBlock } from './blocks.ts';
import type { PushThreads } from './threads.ts';
import { blobOfFile, type SentBlob } from './upload.ts';

/** What skopeo pushes at once, if there is more. Bytes. */
const BATCH_BYTES = 2 ** 30;

/** How blocks are stored. */
interface StoreOptions extends RegistryOptions {
  /** Images directory that blocks are read from. */
  imagesDir: string;
  /** Keys of age. @default they are not encrypted */
  recipients?: readonly string[] | undefined;
}

/** A block, or what became of it, in a file. */
interface Stored {
  path: string;
  layer: Layer;
}

/** A block as it is, which is not compressed. */
const plainLayer = ({ kind, digest, size }: Block): Layer => ({ mediaType: mediaTypes[kind], digest, size });

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
  #nrFiles = 0;

  /** @param place layout for what skopeo pushes; files of blocks are beside it */
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

  get #isEncrypted(): boolean {
    return (this.#options.recipients ?? []).length > 0;
  }

  /** Most files that a block of this kind has at the same time: as it is, and compressed or encrypted. */
  copies(kind: BlockKind): number {
    const isRewritten = this.#isEncrypted || (kind !== 'stripe' && hasZstd());
    return isRewritten ? 2 : this.#direct ? 0 : 1;
  }

  /** What may wait for skopeo: a batch that it pushes, and the next one. Bytes. */
  get waitingBytes(): number {
    return this.#direct ? 0 : 2 * BATCH_BYTES;
  }

  #newFile(): string {
    this.#nrFiles += 1;
    return join(dirname(this.#place.dir), `block-${this.#nrFiles}`);
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

  /** Whether it is compressed, by a sample. Device memory is not: docs/small-images.md. */
  async #isCompressible(block: PlannedBlock): Promise<boolean> {
    if (block.kind === 'stripe' || !hasZstd()) return false;
    return this.#threads.run('sample', { dir: this.#options.imagesDir, block });
  }

  async #compress(block: Block, path: string): Promise<Stored> {
    const part = `${path}.zst`;
    const compressed = await compressFile(path, part, this.#options.signal, this.#threads.threadsEach);
    if (compressed >= block.size) {
      await rm(part);
      return { path, layer: plainLayer(block) };
    }
    await rm(path);
    const mediaType = `${mediaTypes[block.kind]}+zstd`;
    return { path: part, layer: { mediaType, digest: await digestOfFile(part), size: compressed } };
  }

  async #encrypt(stored: Stored): Promise<Stored> {
    const { recipients = [], signal } = this.#options;
    if (!this.#isEncrypted) return stored;
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

  /** @returns whether the registry has it now; if not, skopeo sends this blob and all others */
  async #upload(blob: SentBlob): Promise<boolean> {
    const spec = this.#direct;
    if (spec && (await this.#threads.run('upload', { spec, blob }))) return true;
    this.#direct = undefined;
    return false;
  }

  async #sendFile(block: Block, path: string, isCompressible: boolean): Promise<Layer> {
    const compressed = isCompressible
      ? await this.#compress(block, path)
      : { path, layer: plainLayer(block) };
    const stored = await this.#encrypt(compressed);
    const { digest, size } = stored.layer;
    if (await this.#upload(blobOfFile(stored.path, digest, size))) await rm(stored.path);
    else await this.#leave(stored);
    return stored.layer;
  }

  /** Sends a block from where it is. The registry compares its digest, so nothing else than what was read can get it. */
  async #sendInPlace(block: Block, planned: PlannedBlock): Promise<Layer> {
    const { imagesDir: dir } = this.#options;
    const { digest, size } = block;
    const layer = plainLayer(block);
    if (await this.#upload({ dir, parts: planned.parts, digest, size })) return layer;
    const path = this.#newFile();
    const { digest: written } = await this.#threads.run('write', { dir, block: planned, path });
    if (written !== digest)
      throw new RegistryError('ERR_REGISTRY', `${dir} changed while it was pushed`, {
        hint: 'push it again',
      });
    await this.#leave({ path, layer });
    return layer;
  }

  /** Stores a block, unless an equal one is stored. */
  async #once({ digest }: Block, store: () => Promise<Layer>): Promise<boolean> {
    const known = this.#layers.get(digest);
    const layer = known ?? store();
    if (!known) this.#layers.set(digest, layer);
    await layer;
    return !known;
  }

  /** Reads a block of the images directory and stores it. */
  async add(planned: PlannedBlock): Promise<Block> {
    const { imagesDir: dir } = this.#options;
    const isCompressible = await this.#isCompressible(planned);
    if (this.#direct && !isCompressible && !this.#isEncrypted) {
      const block = await this.#threads.run('describe', { dir, block: planned });
      await this.#once(block, () => this.#sendInPlace(block, planned));
      return block;
    }
    const path = this.#newFile();
    const block = await this.#threads.run('write', { dir, block: planned, path });
    if (!(await this.#once(block, () => this.#sendFile(block, path, isCompressible)))) await rm(path);
    return block;
  }

  /** Stores a block of these bytes. */
  async addBytes(block: Block, bytes: Buffer): Promise<void> {
    const path = this.#newFile();
    await writeFile(path, bytes, { mode: 0o600 });
    const readAt = (at: number, length: number): Buffer => bytes.subarray(at, at + length);
    const isCompressible = hasZstd() && (await isWorthCompressing(bytes.length, readAt));
    if (!(await this.#once(block, () => this.#sendFile(block, path, isCompressible)))) await rm(path);
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
