// SPDX-License-Identifier: MIT
import { UsageError } from './errors.ts';

const units: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * Parses a size such as `256M` or `2G`; units are powers of 1024.
 * @returns bytes
 * @throws {@link UsageError} for anything else
 */
export function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)([KMG])$/i.exec(text.trim()) ?? [];
  const bytes = Number(digits) * (units[unit.toUpperCase()] ?? Number.NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UsageError(`"${text}" is not a size`, 'accepted: a number with K, M or G, such as 256M or 2G');
}
