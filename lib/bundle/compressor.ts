// SPDX-License-Identifier: MIT
/**
 * How a bundle is compressed. A machine needs the same program to unpack it: every one has gzip, xz makes smaller files.
 * @module
 */
import { UsageError } from '../errors.ts';

/** The program that packs a bundle. */
export interface Compressor {
  /** `xz` or `gzip`. */
  program: string;
  /** The command for tar. */
  command: string;
}

/**
 * The program for a file name.
 * @param level 0 to 9
 * @throws {@link UsageError} for another ending
 */
export function compressorOf(out: string, level: number): Compressor {
  if (out.endsWith('.tar.xz')) return { program: 'xz', command: `xz -${level} -T0` };
  // gzip has no level 0
  if (out.endsWith('.tar.gz')) return { program: 'gzip', command: `gzip -${Math.max(level, 1)}` };
  throw new UsageError(`${out} ends neither in .tar.xz nor in .tar.gz`);
}
