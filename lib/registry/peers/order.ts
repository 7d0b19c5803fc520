// SPDX-License-Identifier: MIT
/**
 * In which order a node gets blobs. Nodes that begin at the same moment would all ask the registry for the same ones, because
 * no other node has them yet: so each begins with a share of its own, and finds the shares of others at its peers later.
 * @module
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { readBootId } from '../../machine/index.ts';

/** A node among those that have the same key. */
export interface NodePlace {
  /** From 0. */
  index: number;
  nodes: number;
}

/** A share: what a node moves at the same time. Blobs. */
const SHARE = 12;

/**
 * Tells a node from others, by its cache.
 * @param dir the cache
 * @returns 32 hexadecimal digits, or `undefined` where the kernel does not say; others after a boot
 */
export function nodeId(dir: string): string | undefined {
  try {
    const { dev, ino } = statSync(dir, { bigint: true });
    return createHash('sha256').update(`${readBootId()} ${dev} ${ino}`).digest('hex').slice(0, 32);
  } catch {
    return undefined;
  }
}

/** The place of a node among others. All nodes see the same order when they know the same nodes. */
export function placeAmong(own: string | undefined, others: readonly (string | undefined)[]): NodePlace {
  if (own === undefined) return { index: 0, nodes: 1 };
  const ids = new Set(others.filter((id): id is string => id !== undefined && id !== own));
  return { index: [...ids].filter((id) => id < own).length, nodes: ids.size + 1 };
}

/**
 * Orders blobs for a node. They are cut into rounds with one share for each node. A node moves its share of a round before the
 * shares of others of the round before: these have arrived at others by then. So what is early in the list arrives one
 * round late at most.
 */
export function orderFor<Blob>(blobs: readonly Blob[], { index, nodes }: NodePlace): Blob[] {
  const share = Math.max(1, Math.min(SHARE, Math.ceil(blobs.length / nodes)));
  return blobs
    .map((blob, at) => {
      const nr = Math.floor(at / share);
      const round = Math.floor(nr / nodes);
      const distance = ((nr % nodes) - index + nodes) % nodes;
      return { blob, at, distance, turn: distance === 0 ? round - 1 : round };
    })
    .sort((a, b) => a.turn - b.turn || a.distance - b.distance || a.at - b.at)
    .map(({ blob }) => blob);
}
