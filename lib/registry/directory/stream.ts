// SPDX-License-Identifier: MIT
/**
 * Makes an images directory while its blocks arrive, and tells someone which stripes are there: a pool, which loads them
 * meanwhile.
 * @module
 */
import { rmSync } from 'node:fs';
import { Assembly, DamagedBlockError, MOST_AT_ONCE, type FindBlock } from './assemble.ts';
import type { BlobRef, ImageCache } from '../cache.ts';
import type { Arriving } from '../fetch/fill.ts';
import type { Block, BlockKind, Description, Layer } from '../format.ts';
import { RegistryError } from '../error.ts';
import { differentBlocks } from '../inspect.ts';
import { Limiter } from './limiter.ts';
import { relocate } from './relocate.ts';

/** Takes stripes as they arrive. */
export interface StripeReceiver {
  /** A file is in the directory: all of it, with its name. */
  arrived(name: string): void;
  /** Rejects when it takes no more; never fulfilled. */
  readonly failed: Promise<never>;
  /**
   * Restores from the directory while its last stripes arrive: the images name it by its path of now, which it keeps until
   * this is fulfilled. Never rejects: whatever has become of it, the image is completed.
   * @param signal aborted when it cannot be: nothing may run that needs it
   * @default nothing is restored
   */
  restore?: ((signal: AbortSignal) => Promise<void>) | undefined;
}

/**
 * Device memory that may be missing when a restore begins. CRIU takes half a second, in which that much arrives where it
 * comes fast. Where it does not, a restored tree should not wait long: it has pids and ports, but answers nobody.
 */
export const LAST_BYTES = 2 * 2 ** 30;

/**
 * Called once all small files are in the directory, which gets its name later, and before it has all stripes.
 * @returns what takes them; `undefined`: nothing does
 */
export type ReceiveStripes = (dir: string) => Promise<StripeReceiver | undefined>;

/**
 * Host memory has to be decompressed, which takes longer than to load device memory: so it comes first, and is written
 * while device memory arrives.
 */
const RANKS: Readonly<Record<BlockKind, number>> = { small: 0, pages: 1, stripe: 2 };

/** What an images directory is made of, and for whom. */
interface ArrivingOptions {
  cache: ImageCache;
  description: Description;
  /** One for each different block, in their order. */
  layers: readonly Layer[];
  findBlock: FindBlock;
  /** Is empty. */
  dir: string;
  receive: ReceiveStripes;
  /** Whether it may be restored before all of it has come; not if a policy judges it at last. */
  mayRestore: boolean;
  /** Gives the directory its name. */
  settle: () => Promise<void>;
  /** Called when it cannot be completed. */
  onFailure: (error: unknown) => void;
}

/** An images directory in the making. Blocks are added as they come, those of host memory several at a time. */
export class ArrivingImage implements Arriving {
  readonly #options: ArrivingOptions;
  /** By the digest of their layer. */
  readonly #blocks = new Map<string, Block[]>();
  #work: Promise<void>;
  #begun: Promise<void>;
  readonly #hostMemory = new Limiter(MOST_AT_ONCE);
  #assembly: Assembly | undefined;
  /** Bytes that are not in the directory. */
  readonly #left: Record<BlockKind, number> = { small: 0, pages: 0, stripe: 0 };
  /** Stripes that nobody has been told about. */
  #untold: string[] = [];
  #receiver: StripeReceiver | undefined;
  #restore: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(options: ArrivingOptions) {
    this.#options = options;
    const { description, layers } = options;
    const layerOf = new Map(differentBlocks(description).map((one, index) => [one.digest, layers[index]]));
    for (const block of description.blocks) {
      const { digest } = layerOf.get(block.digest) ?? block;
      this.#blocks.set(digest, [...(this.#blocks.get(digest) ?? []), block]);
      this.#left[block.kind] += block.size;
    }
    this.#work = Promise.resolve();
    this.#begun = this.#work;
  }

  rank({ digest }: BlobRef): number {
    return Math.min(...(this.#blocks.get(digest) ?? []).map(({ kind }) => RANKS[kind]));
  }

  begin(present: BlobRef[]): void {
    const { description, dir, findBlock } = this.#options;
    this.#then(async () => {
      this.#assembly = await Assembly.begin(description, dir, findBlock);
    });
    this.#begun = this.#work;
    for (const blob of present.toSorted((a, b) => this.rank(a) - this.rank(b))) this.arrived(blob);
  }

  arrived({ digest }: BlobRef): void {
    for (const block of this.#blocks.get(digest) ?? []) {
      if (block.kind === 'pages') this.#beside(block);
      else this.#then(() => this.#add(block));
    }
  }

  async end(): Promise<void> {
    this.#then(async () => {
      await this.#hostMemory.ended();
      await this.#restore;
      this.#stop.signal.throwIfAborted();
      this.#expectAll();
      await this.#assembly?.settle('all');
      await this.#options.settle();
    });
    await this.#work;
  }

  /** Nothing more is added: the pull has failed, or was stopped. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  async close(): Promise<void> {
    await this.#work.catch(() => undefined);
    await this.#hostMemory.ended().catch(() => undefined);
    await this.#restore?.catch(() => undefined);
    await this.#assembly?.close();
  }

  /** A blob may be in the cache that nobody has told of: its thread was ended at that moment. */
  #expectAll(): void {
    if (Object.values(this.#left).every((bytes) => bytes <= 0)) return;
    throw new RegistryError('ERR_REGISTRY', 'the image was not put together from all of its blocks', {
      hint: 'pull it again; what has come is kept',
    });
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work.then(() => {
      this.#stop.signal.throwIfAborted();
      return step();
    });
    this.#work.catch(this.#options.onFailure);
  }

  #beside(block: Block): void {
    this.#hostMemory
      .run(async () => {
        await this.#begun;
        this.#stop.signal.throwIfAborted();
        await this.#write(block);
        this.#beginRestore();
      })
      .catch(this.#options.onFailure);
  }

  async #write(block: Block): Promise<string[]> {
    try {
      const names = (await this.#assembly?.add(block, this.#stop.signal)) ?? [];
      this.#left[block.kind] -= block.size;
      return names;
    } catch (error) {
      if (error instanceof DamagedBlockError)
        rmSync(this.#options.cache.blobPath(error.digest), { force: true });
      throw error;
    }
  }

  async #add(block: Block): Promise<void> {
    this.#untold.push(...(await this.#write(block)));
    if (block.kind === 'small' && this.#left.small === 0) await this.#begin();
    if (this.#receiver) for (const name of this.#untold.splice(0)) this.#receiver.arrived(name);
    this.#beginRestore();
  }

  /** Only the last stripes are missing. */
  #beginRestore(): void {
    const { small, pages, stripe } = this.#left;
    if (small > 0 || pages > 0 || stripe > LAST_BYTES) return;
    const { dir, mayRestore, onFailure } = this.#options;
    const restore = mayRestore ? this.#receiver?.restore : undefined;
    if (!restore || this.#restore || this.#stop.signal.aborted) return;
    this.#restore = relocate(dir, dir)
      .then(() => this.#assembly?.settle('all'))
      .then(() => restore(this.#stop.signal));
    this.#restore.catch(onFailure);
  }

  /** All small files have all their pieces: the images of device memory can be opened. */
  async #begin(): Promise<void> {
    const { dir, receive, onFailure } = this.#options;
    await this.#assembly?.settle('small');
    this.#untold = [];
    this.#receiver = await receive(dir);
    this.#receiver?.failed.catch(onFailure);
  }
}
