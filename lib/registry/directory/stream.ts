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
import { differentBlocks } from '../inspect.ts';
import { Limiter } from './limiter.ts';

/** Takes stripes as they arrive. */
export interface StripeReceiver {
  /** A file is in the directory: all of it, with its name. */
  arrived(name: string): void;
  /** Rejects when it takes no more; never fulfilled. */
  readonly failed: Promise<never>;
}

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
  #smallLeft = 0;
  /** Stripes that nobody has been told about. */
  #untold: string[] = [];
  #receiver: StripeReceiver | undefined;
  readonly #stop = new AbortController();

  constructor(options: ArrivingOptions) {
    this.#options = options;
    const { description, layers } = options;
    const layerOf = new Map(differentBlocks(description).map((one, index) => [one.digest, layers[index]]));
    for (const block of description.blocks) {
      const { digest } = layerOf.get(block.digest) ?? block;
      this.#blocks.set(digest, [...(this.#blocks.get(digest) ?? []), block]);
      if (block.kind === 'small') this.#smallLeft += 1;
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
      this.#stop.signal.throwIfAborted();
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
    await this.#assembly?.close();
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
      })
      .catch(this.#options.onFailure);
  }

  async #write(block: Block): Promise<string[]> {
    try {
      return (await this.#assembly?.add(block, this.#stop.signal)) ?? [];
    } catch (error) {
      if (error instanceof DamagedBlockError)
        rmSync(this.#options.cache.blobPath(error.digest), { force: true });
      throw error;
    }
  }

  async #add(block: Block): Promise<void> {
    this.#untold.push(...(await this.#write(block)));
    if (block.kind === 'small') {
      this.#smallLeft -= 1;
      if (this.#smallLeft === 0) await this.#begin();
    }
    if (this.#receiver) for (const name of this.#untold.splice(0)) this.#receiver.arrived(name);
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
