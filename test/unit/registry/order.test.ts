// SPDX-License-Identifier: MIT
// In which order nodes that begin at the same moment get blocks: so that they find most of them at each other.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nodeId, orderFor, placeAmong } from '../../../lib/registry/peers/order.ts';

const blobs = (nr: number): number[] => Array.from({ length: nr }, (_, index) => index);

const ordersOf = (nr: number, nodes: number): number[][] =>
  blobs(nodes).map((index) => orderFor(blobs(nr), { index, nodes }));

/** Nodes that take equally long for each blob, several at a time. @returns how many the registry has sent */
function registrySends(orders: readonly number[][], atOnce: number): number {
  const has = orders.map(() => new Set<number>());
  let sent = 0;
  for (let at = 0; at < (orders[0]?.length ?? 0); at += atOnce) {
    const wanted = orders.map((order) => order.slice(at, at + atOnce));
    for (const [node, ones] of wanted.entries())
      sent += ones.filter((blob) => !has.some((those, index) => index !== node && those.has(blob))).length;
    for (const [node, ones] of wanted.entries()) for (const blob of ones) has[node]?.add(blob);
  }
  return sent;
}

it('a node alone gets blobs in their order', () => {
  expect(orderFor(blobs(100), { index: 0, nodes: 1 })).toEqual(blobs(100));
});

it.each([
  [1, 3],
  [7, 3],
  [36, 3],
  [256, 3],
  [1000, 10],
  [50, 64],
])('each node gets all of %i blobs, and %i nodes begin with others', (nr, nodes) => {
  const orders = ordersOf(nr, nodes);
  for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual(blobs(nr));
  const first = orders.slice(0, nr).map(([one]) => one);
  expect(new Set(first).size).toBe(Math.min(nodes, nr));
});

it.each([
  [256, 3, 12],
  [256, 3, 2],
  [256, 10, 12],
  [1000, 8, 12],
])('of %i blobs, the registry sends %i nodes at the same pace each about once', (nr, nodes, atOnce) => {
  expect(
    registrySends(
      blobs(nodes).map(() => blobs(nr)),
      atOnce,
    ),
    'all in their order',
  ).toBe(nr * nodes);
  expect(registrySends(ordersOf(nr, nodes), atOnce)).toBeLessThan(1.25 * nr);
});

it('a blob arrives at most two rounds after those that follow it: the pool takes them in their order', () => {
  const [nr, nodes] = [600, 3];
  for (const order of ordersOf(nr, nodes)) {
    const late = order.map((blob, at) => Math.max(...order.slice(0, at + 1)) - blob);
    expect(Math.max(...late)).toBeLessThanOrEqual(2 * 12 * nodes);
  }
});

it('all nodes agree about their places, in whatever order each names the others', () => {
  const ids = ['c', 'a', 'b'];
  const places = ids.map((own) => placeAmong(own, [...ids, undefined, own]));
  expect(places).toEqual([
    { index: 2, nodes: 3 },
    { index: 0, nodes: 3 },
    { index: 1, nodes: 3 },
  ]);
  expect(placeAmong(undefined, ids)).toEqual({ index: 0, nodes: 1 });
});

it('a cache tells a node from others', () => {
  const dirs = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'order-')));
  try {
    const ids = dirs.map(nodeId);
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[\da-f]{32}$/);
    expect(dirs.map(nodeId)).toEqual(ids);
    expect(nodeId('/nonexistent')).toBeUndefined();
  } finally {
    for (const dir of dirs) rmSync(dir, { recursive: true });
  }
});
