// SPDX-License-Identifier: MIT
/** How much of the temporary directory a push takes. @module */
import type { Sequence } from './contents.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Description and manifest. Bytes. */
const REST_BYTES = 16 * MIB;

/** What the files of a push have at the same time. */
export class Room {
  readonly #threads: number;
  readonly #copies: (sequence: Sequence) => number;
  readonly #blocks = new Map<Sequence, readonly number[]>();

  /**
   * @param threads each has one block
   * @param copies most files of a block at the same time
   */
  constructor(threads: number, copies: (sequence: Sequence) => number) {
    this.#threads = threads;
    this.#copies = copies;
  }

  /** Notes how large the blocks of a sequence are. */
  note(sequence: Sequence, sizes: readonly number[]): void {
    this.#blocks.set(sequence, sizes);
  }

  /** The same before its blocks are known: as if one had all that can be there at the same time. @param most bytes of a block */
  noteUnknown(sequence: Sequence, most: number): void {
    const total = sequence.pieces.reduce((sum, { length }) => sum + length, 0);
    this.note(sequence, [Math.min(total, most * this.#threads)]);
  }

  /**
   * @param waitingBytes what may wait until it is sent, besides
   * @returns bytes, rounded up so that a message with three digits tells no less
   */
  bytes(waitingBytes: number): number {
    const largest = [...this.#blocks]
      .flatMap(([sequence, sizes]) => sizes.map((size) => size * this.#copies(sequence)))
      .sort((a, b) => b - a);
    const held = largest.slice(0, this.#threads).reduce((sum, size) => sum + size, 0);
    const bytes = held + waitingBytes + REST_BYTES;
    const unit = bytes < GIB ? MIB : GIB / 4;
    return Math.ceil(bytes / unit) * unit;
  }
}
