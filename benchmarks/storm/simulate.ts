// SPDX-License-Identifier: MIT
/**
 * A storm of restores: many nodes restore one image at about the same time. Every chunk is a sequence of events: requested,
 * sent by the registry or another node, received, verified, loaded. What sends, receives, verifies and loads works on one
 * chunk after the other, in the order in which they come, each for bytes ÷ rate.
 */
import { EventQueue } from './event-queue.ts';
import { parentOf } from './trees.ts';

/**
 * Where a node gets the image from. `registry`: everything from the registry. `peer`: each chunk from its parent
 * ({@link parentOf}), only the roots ask the registry. `prefetch`: like `peer`, but it began `leadS` seconds before the restore.
 */
export const policies = ['registry', 'peer', 'prefetch'] as const;
export type Policy = (typeof policies)[number];

/** What is simulated: GB = 10⁹ bytes, GB/s, seconds. `constants.ts` says what each one means and where its value is from. */
export interface Storm {
  nodes: number;
  policy: Policy;
  /** Of the order of the nodes, their starts, and which have the image. */
  seed: number;
  imageGB: number;
  chunkGB: number;
  window: number;
  fanOut: number;
  registryRate: number;
  registryLatencyS: number;
  peerLatencyS: number;
  nicRate: number;
  verifyRate: number;
  loadRate: number;
  restoreS: number;
  prefetchedS: number;
  spreadS: number;
  leadS: number;
  cachedShare: number;
}

/** What can be the slowest part. */
export type Stage = 'registry' | 'peers' | 'network' | 'verify' | 'load';

/** What a storm did. */
export interface StormResult {
  /** Of every node, from its restore command until its program runs, ascending. Seconds. */
  durations: number[];
  /** What was sent, GB. */
  registryGB: number;
  peerGB: number;
  /** What reached device memory of all nodes, GB. */
  loadedGB: number;
  /** The longest time that one of each kind worked: the registry, the busiest node's sending, receiving, and so on. Seconds. */
  busyS: Record<Stage, number>;
  /** From the first start to the last chunk in device memory. Seconds. */
  endS: number;
  events: number;
}

/** Something that works on one chunk after the other. */
class Worker {
  readonly #rate: number;
  #freeAt = 0;
  busyS = 0;
  gb = 0;

  constructor(rate: number) {
    this.#rate = rate;
  }

  /** @returns when it has worked on this */
  work(time: number, gb: number): number {
    const duration = gb / this.#rate;
    this.#freeAt = Math.max(time, this.#freeAt) + duration;
    this.busyS += duration;
    this.gb += gb;
    return this.#freeAt;
  }
}

/** Numbers from 0 to 1, the same for one seed (the generator "mulberry32"). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Node {
  readonly index: number;
  /** Of the restore command. */
  readonly startS: number;
  readonly isCached: boolean;
  /** 1 for each chunk that it can send. */
  readonly has: Uint8Array;
  /** Nodes that wait for a chunk of this one. */
  readonly waiting: (Node[] | undefined)[];
  readonly sends: Worker;
  readonly receives: Worker;
  readonly verifies: Worker;
  readonly loads: Worker;
  /** The next chunk to request in each tree. */
  readonly next: number[];
  isPulling: boolean;
  /** When the last chunk was in device memory. */
  loadedS: number;
}

interface Event {
  kind: 'begin' | 'sent' | 'verified' | 'loaded';
  node: Node;
  chunk: number;
}

class Simulation {
  readonly #storm: Storm;
  readonly #queue = new EventQueue<Event>();
  readonly #registry: Worker;
  readonly #chunks: number;
  /** A tree does not wait for another one: each has its part of the window. */
  readonly #streams: number;
  readonly #nodes: Node[] = [];
  #events = 0;

  constructor(storm: Storm) {
    this.#storm = storm;
    this.#registry = new Worker(storm.registryRate);
    this.#chunks = Math.ceil(storm.imageGB / storm.chunkGB - 1e-9);
    this.#streams = storm.policy === 'registry' ? 1 : storm.fanOut;
    const random = randomNumbers(storm.seed);
    for (let index = 0; index < storm.nodes; index += 1)
      this.#addNode(index, random() * storm.spreadS, random() < storm.cachedShare);
  }

  #addNode(index: number, beginS: number, isCached: boolean): void {
    const { nicRate, verifyRate, loadRate, leadS, policy } = this.#storm;
    const node: Node = {
      index,
      startS: beginS + (policy === 'prefetch' ? leadS : 0),
      isCached,
      has: new Uint8Array(this.#chunks).fill(isCached ? 1 : 0),
      waiting: [],
      sends: new Worker(nicRate),
      receives: new Worker(nicRate),
      verifies: new Worker(verifyRate),
      loads: new Worker(loadRate),
      next: Array.from({ length: this.#streams }, (_, tree) => (isCached ? this.#chunks : tree)),
      isPulling: false,
      loadedS: 0,
    };
    this.#nodes.push(node);
    this.#queue.add(beginS, { kind: 'begin', node, chunk: 0 });
  }

  /** All chunks are of one size, except the last. */
  #sizeOf(chunk: number): number {
    const { imageGB, chunkGB } = this.#storm;
    return Math.min(chunkGB, imageGB - chunk * chunkGB);
  }

  /** At its restore, or earlier when a node asks it for a chunk that it does not have. */
  #begin(node: Node, time: number): void {
    if (node.isPulling) return;
    node.isPulling = true;
    if (node.isCached) node.loadedS = node.loads.work(time, this.#storm.imageGB);
    const each = Math.max(Math.floor(this.#storm.window / this.#streams), 1);
    for (let i = 0; i < each * this.#streams; i += 1) this.#request(node, i % this.#streams, time);
  }

  #request(node: Node, tree: number, time: number): void {
    const chunk = node.next[tree] ?? this.#chunks;
    if (chunk >= this.#chunks) return;
    node.next[tree] = chunk + this.#streams;
    const { policy, registryLatencyS } = this.#storm;
    const index = policy === 'registry' ? undefined : parentOf(node.index, chunk, this.#storm);
    const parent = index === undefined ? undefined : this.#nodes[index];
    if (parent === undefined) {
      const sentS = this.#registry.work(time, this.#sizeOf(chunk));
      this.#queue.add(sentS + registryLatencyS, { kind: 'sent', node, chunk });
    } else if (parent.has[chunk] === 1) this.#send(parent, node, chunk, time);
    else {
      (parent.waiting[chunk] ??= []).push(node);
      if (!parent.isPulling) this.#queue.add(time, { kind: 'begin', node: parent, chunk: 0 });
    }
  }

  #send(from: Node, node: Node, chunk: number, time: number): void {
    const sentS = from.sends.work(time, this.#sizeOf(chunk));
    this.#queue.add(sentS + this.#storm.peerLatencyS, { kind: 'sent', node, chunk });
  }

  #receive(node: Node, chunk: number, time: number): void {
    const gb = this.#sizeOf(chunk);
    const verifiedS = node.verifies.work(node.receives.work(time, gb), gb);
    this.#queue.add(verifiedS, { kind: 'verified', node, chunk });
    this.#queue.add(node.loads.work(verifiedS, gb), { kind: 'loaded', node, chunk });
  }

  #happen({ kind, node, chunk }: Event, time: number): void {
    this.#events += 1;
    if (kind === 'begin') this.#begin(node, time);
    else if (kind === 'sent') this.#receive(node, chunk, time);
    else if (kind === 'verified') {
      node.has[chunk] = 1;
      for (const child of node.waiting[chunk] ?? []) this.#send(node, child, chunk, time);
      node.waiting[chunk] = undefined;
    } else {
      node.loadedS = time;
      this.#request(node, chunk % this.#streams, time);
    }
  }

  run(): StormResult {
    for (let next = this.#queue.next(); next !== undefined; next = this.#queue.next())
      this.#happen(next.event, next.time);
    const { policy, prefetchedS, restoreS } = this.#storm;
    const rest = policy === 'prefetch' ? prefetchedS : restoreS;
    const busiest = (worker: (node: Node) => Worker): number =>
      this.#nodes.reduce((longest, node) => Math.max(longest, worker(node).busyS), 0);
    const sum = (worker: (node: Node) => Worker): number =>
      this.#nodes.reduce((total, node) => total + worker(node).gb, 0);
    return {
      durations: this.#nodes
        .map(({ loadedS, startS }) => Math.max(loadedS - startS, 0) + rest)
        .sort((a, b) => a - b),
      registryGB: this.#registry.gb,
      peerGB: sum(({ sends }) => sends),
      loadedGB: sum(({ loads }) => loads),
      busyS: {
        registry: this.#registry.busyS,
        peers: busiest(({ sends }) => sends),
        network: busiest(({ receives }) => receives),
        verify: busiest(({ verifies }) => verifies),
        load: busiest(({ loads }) => loads),
      },
      endS: this.#nodes.reduce((end, { loadedS }) => Math.max(end, loadedS), 0),
      events: this.#events,
    };
  }
}

/** @throws RangeError for a number that the model has no meaning for */
export function simulate(storm: Storm): StormResult {
  const positive = ['imageGB', 'chunkGB', 'registryRate', 'nicRate', 'verifyRate', 'loadRate'] as const;
  const whole = ['nodes', 'window', 'fanOut'] as const;
  const delays = ['registryLatencyS', 'peerLatencyS', 'restoreS', 'prefetchedS', 'spreadS', 'leadS'] as const;
  for (const field of positive)
    if (!(storm[field] > 0)) throw new RangeError(`${field} must be more than 0, and is ${storm[field]}`);
  for (const field of whole)
    if (!Number.isInteger(storm[field]) || storm[field] < 1)
      throw new RangeError(`${field} must be a whole number from 1 on, and is ${storm[field]}`);
  for (const field of delays)
    if (!(storm[field] >= 0 && storm[field] < Infinity))
      throw new RangeError(`${field} must be 0 or more, and is ${storm[field]}`);
  if (!(storm.cachedShare >= 0 && storm.cachedShare <= 1))
    throw new RangeError(`cachedShare must be from 0 to 1, and is ${storm.cachedShare}`);
  return new Simulation(storm).run();
}

/** The slowest part: the one that worked longest. */
export function limitOf({ busyS }: StormResult): Stage {
  const [longest] = Object.entries(busyS).sort(([, a], [, b]) => b - a) as [Stage, number][];
  return longest?.[0] ?? 'load';
}
