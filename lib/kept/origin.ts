// SPDX-License-Identifier: MIT
/**
 * `criu-cuda-origin.img` in the images: where and when they were made, and which generation of the program is in them.
 * Images without it are restored without what it is for.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { KeptFilesError } from './error.ts';
import type { Generation } from './generation.ts';

const NAME = 'criu-cuda-origin.img';

/** What images say about their origin. */
export interface Origin {
  /** Of the kernel's start; the clocks count from there. */
  bootId: string;
  /** The program's file for its generation; `undefined` if it has none. */
  generation?: Generation | undefined;
}

/** Writes it into complete images. */
export function writeOrigin(imagesDir: string, origin: Origin): void {
  replaceFile(join(imagesDir, NAME), `${JSON.stringify(origin)}\n`);
}

const isCount = (value: unknown): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function isOrigin(value: unknown): value is Origin {
  const { bootId, generation } = (value ?? {}) as Partial<Origin>;
  if (typeof bootId !== 'string') return false;
  if (generation === undefined) return true;
  const { path, number, uid, gid } = generation as Partial<Generation>;
  return typeof path === 'string' && [number, uid, gid].every(isCount);
}

/**
 * Reads it.
 * @returns `undefined` when there is none
 * @throws {@link KeptFilesError} it is damaged
 */
export function readOrigin(imagesDir: string): Origin | undefined {
  const path = join(imagesDir, NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isOrigin(value)) return value;
  } catch (error) {
    throw new KeptFilesError(`${path} is damaged`, { cause: error });
  }
  throw new KeptFilesError(`${path} is damaged`);
}
