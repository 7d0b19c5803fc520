// SPDX-License-Identifier: MIT
/** The storm of real processes: its cases, and what the model says of them. */
import { simulate, type Policy, type Storm } from '../simulate.ts';
import { TCP_SHARE } from './network.ts';
import type { NodeReport } from './node.ts';

/** What is measured. */
export interface RealConfig {
  imageBytes: number;
  chunkBytes: number;
  window: number;
  fanOut: number;
  /** Bits per second of every node's link, and of the registry's. */
  nodeBitsPerS: number;
  registryBitsPerS: number;
  cases: readonly { policy: Policy; nodes: number }[];
}

/** One case: the reports of its nodes. */
export interface RealCase {
  policy: Policy;
  nodes: number;
  /** Of the image that the registry had. */
  sha256: string;
  reports: NodeReport[];
}

/** The model's word against the clock. */
export interface Comparison {
  policy: Policy;
  nodes: number;
  /** From the first start until the last node has the image, seconds. */
  measuredS: number;
  predictedS: number;
  /** Of the prediction, relative to the measurement; 0.1 is 10 % too long. */
  error: number;
  registryBytes: number;
  peerBytes: number;
  /** What the model sends, bytes. */
  predictedRegistryBytes: number;
  predictedPeerBytes: number;
}

/** The same storm for the model: nothing is fitted to the measured times, except the rate of SHA-256. */
export function stormOfCase(config: RealConfig, { policy, nodes, reports }: RealCase): Storm {
  const sum = (value: (report: NodeReport) => number): number =>
    reports.reduce((total, report) => total + value(report), 0);
  const rate = (bitsPerS: number): number => (bitsPerS / 8 / 1e9) * TCP_SHARE;
  return {
    ...{ nodes, policy, seed: 1, window: config.window, fanOut: config.fanOut },
    ...{ imageGB: config.imageBytes / 1e9, chunkGB: config.chunkBytes / 1e9 },
    ...{ registryRate: rate(config.registryBitsPerS), nicRate: rate(config.nodeBitsPerS) },
    ...{ registryLatencyS: 0, peerLatencyS: 0, spreadS: 0, leadS: 0, cachedShare: 0 },
    verifyRate: (config.imageBytes * nodes) / 1e6 / sum(({ verifyMs }) => verifyMs),
    // the image is copied in memory: too fast to see
    ...{ loadRate: 1000, restoreS: 0, prefetchedS: 0 },
  };
}

/** @throws Error when a node has bytes that are not the registry's */
export function compare(config: RealConfig, real: RealCase): Comparison {
  const { policy, nodes, reports, sha256 } = real;
  const wrong = reports.findIndex((report) => report.sha256 !== sha256);
  if (wrong >= 0) throw new Error(`node ${wrong} has ${reports[wrong]?.sha256 ?? ''}, not ${sha256}`);
  const began = Math.min(...reports.map(({ beganMs }) => beganMs));
  const measuredS = (Math.max(...reports.map(({ doneMs }) => doneMs)) - began) / 1000;
  const result = simulate(stormOfCase(config, real));
  const predictedS = result.durations.at(-1) ?? 0;
  const sum = (value: (report: NodeReport) => number): number =>
    reports.reduce((total, report) => total + value(report), 0);
  return {
    ...{ policy, nodes, measuredS, predictedS, error: predictedS / measuredS - 1 },
    registryBytes: sum(({ registryBytes }) => registryBytes),
    peerBytes: sum(({ peerBytes }) => peerBytes),
    predictedRegistryBytes: Math.round(result.registryGB * 1e9),
    predictedPeerBytes: Math.round(result.peerGB * 1e9),
  };
}
