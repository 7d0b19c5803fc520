// SPDX-License-Identifier: MIT
import { UsageError } from '../errors.ts';

/** Which GPU takes the place of which, by UUID as `nvidia-smi -L` prints them. */
export interface DevicePair {
  /** UUID of the GPU that the process had. */
  from: string;
  /** UUID of the GPU that takes its place. */
  to: string;
}

const UUID = /^(?:GPU-)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i;

/** The 16 bytes of `GPU-8-4-4-4-12` hex digits; the prefix may be missing. */
export function parseUuid(text: string): number[] {
  const digits = UUID.exec(text.trim())?.[1];
  if (digits === undefined) {
    throw new UsageError(`"${text}" is not a GPU's UUID`, 'it looks like GPU-8a6f…: see nvidia-smi -L');
  }
  return [...Buffer.from(digits.replaceAll('-', ''), 'hex')];
}

/** Parses `old=new,old=new`. An empty text is an empty map. */
export function parseDeviceMap(text: string): DevicePair[] {
  const pairs = text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [from, to, ...rest] = pair.split('=');
      if (from === undefined || to === undefined || rest.length > 0) {
        throw new UsageError(`device map "${pair}" is not of the form old=new`);
      }
      parseUuid(from);
      parseUuid(to);
      return { from: from.trim(), to: to.trim() };
    });
  if (new Set(pairs.map((pair) => pair.from.toLowerCase())).size !== pairs.length) {
    throw new UsageError(`device map "${text}" names a GPU twice`);
  }
  return pairs;
}
