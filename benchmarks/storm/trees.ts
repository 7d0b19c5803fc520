// SPDX-License-Identifier: MIT
/**
 * From which node a node gets a chunk, when nodes pass chunks on. As many trees as a node has children: chunk `c` takes tree
 * `c mod fanOut`. A node has children in about one tree only, so that it sends each byte about once, whatever the number
 * of nodes. Every node computes this from the list of nodes; nobody has to be asked.
 */

/** The place of a node in tree `tree`: 0 is the root. */
function placeOf(node: number, tree: number, { nodes, fanOut }: Trees): number {
  const shift = Math.floor((tree * nodes) / fanOut);
  return (node - shift + nodes) % nodes;
}

/** The shape of the trees. */
export interface Trees {
  /** Number of nodes. */
  nodes: number;
  /** Children of a node, and number of trees. */
  fanOut: number;
}

/** The node that has the chunk before this one. @returns undefined for the root, which asks the registry */
export function parentOf(node: number, chunk: number, trees: Trees): number | undefined {
  const tree = chunk % trees.fanOut;
  const place = placeOf(node, tree, trees);
  if (place === 0) return undefined;
  const shift = Math.floor((tree * trees.nodes) / trees.fanOut);
  return (Math.floor((place - 1) / trees.fanOut) + shift) % trees.nodes;
}
