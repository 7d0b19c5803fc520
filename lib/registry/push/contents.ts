// SPDX-License-Identifier: MIT
/**
 * Which files of an images directory belong to a checkpoint, and in which pieces they are read. Device memory is read in
 * the order of the allocations, whatever thread wrote it to whatever stripe: so two images with the same weights have the
 * same pieces one after the other.
 * @module
 */
import { closeSync, lstatSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../errors.ts';
import { isStray, readCheckpointIndex, readGpuImages, type GpuImage } from '../../images/index.ts';
import { dataRanges } from '../../native/index.ts';
import type { BlockKind } from '../format.ts';

/** Larger files are cut into blocks of their own. Bytes. */
const SMALL_BYTES = 4 * 2 ** 20;

/** Of a large file, what is read at once. Bytes. */
const READ_BYTES = 4 * 2 ** 20;

/** Logs and statistics are of the machine; temporary files are not of the checkpoint. */
const LEFT_OUT = /\.(?:log|tmp|sock|pid)$|^(?:stats-|restore|post-restore)/;

const GPU_FILE = /^cuda-\d+(?:-\d+)?\.img$/;

/** A file of the checkpoint. */
export interface SourceFile {
  name: string;
  size: number;
  mode: number;
  /** Seconds since 1970. */
  modified: number;
}

/** Bytes that are read at once. */
export interface SourcePiece {
  /** File name in the directory. */
  source: string;
  /** First byte there. */
  from: number;
  length: number;
  /** The name of the file that it belongs to, in the image; device memory has none until its block is known. */
  target: string | undefined;
  /** What decides where blocks end, the same for the same bytes; `undefined`: their CRC does, which is not known yet. */
  mark: bigint | undefined;
}

/** A sequence of pieces that is cut into blocks. */
export interface Sequence {
  kind: BlockKind;
  /** Device memory: the GPU image. */
  image: GpuImage | undefined;
  pieces: SourcePiece[];
}

/** What is pushed. */
export interface Contents {
  /** All but the GPU images, which get new stripes. */
  files: SourceFile[];
  sequences: Sequence[];
}

function listSource(imagesDir: string): SourceFile[] {
  const found: SourceFile[] = [];
  for (const name of readdirSync(imagesDir).sort()) {
    const stat = lstatSync(join(imagesDir, name));
    if (name === 'parent')
      throw new UsageError(
        `${imagesDir} needs the images of an earlier dump, its parent`,
        "make a complete checkpoint: without CRIU's own --prev-images-dir, after --",
      );
    if (!Number.isSafeInteger(stat.size))
      throw new UsageError(
        `${name} is larger than 8 PiB, which no description of an image can say`,
        'a program has a file of that size: make it shorter there, and another checkpoint',
      );
    if (stat.isFile() && !LEFT_OUT.test(name))
      found.push({ name, size: stat.size, mode: stat.mode & 0o777, modified: stat.mtimeMs / 1000 });
  }
  return found;
}

function piecesOf({ name, size }: SourceFile, ranges: Iterable<[number, number]>): SourcePiece[] {
  const pieces: SourcePiece[] = [];
  let next = 0;
  for (const [begin, end] of ranges) {
    // at the same places as without holes, so that the same bytes are the same pieces
    let from = Math.max(next, begin - (begin % READ_BYTES));
    for (; from < end; from += READ_BYTES)
      pieces.push({
        ...{ source: name, from, length: Math.min(READ_BYTES, size - from) },
        ...{ target: name, mark: undefined },
      });
    next = from;
  }
  return pieces;
}

const smallPieces = (file: SourceFile): SourcePiece[] => piecesOf(file, [[0, file.size]]);

/** Holes are zero, and left out anyway: they are not even read, because a program may have made one of terabytes. */
function pagePieces(imagesDir: string, file: SourceFile): SourcePiece[] {
  const fd = openSync(join(imagesDir, file.name), 'r');
  try {
    return piecesOf(file, dataRanges(fd, file.size));
  } finally {
    closeSync(fd);
  }
}

function deviceMemory(image: GpuImage): Sequence {
  const { chunks } = image.manifest;
  const pieces = chunks.flatMap(({ zero, stripe, offset, length, xxh3 }): SourcePiece[] =>
    zero
      ? []
      : [
          {
            ...{ source: image.stripes[stripe]?.name ?? '', from: offset, length },
            ...{ target: undefined, mark: xxh3 },
          },
        ],
  );
  return { kind: 'stripe', image, pieces };
}

/** Looks at an images directory. */
export async function readContents(imagesDir: string): Promise<Contents> {
  const index = await readCheckpointIndex(imagesDir);
  const images = (await readGpuImages(imagesDir)).filter(
    ({ manifest: { pid } }) => !isStray(index, { pid, kind: 'gpu' }),
  );
  const files = listSource(imagesDir).filter(({ name }) => !GPU_FILE.test(name));
  const isSmall = ({ size }: SourceFile): boolean => size <= SMALL_BYTES;
  return {
    files,
    sequences: [
      { kind: 'small', image: undefined, pieces: files.filter(isSmall).flatMap(smallPieces) },
      ...files
        .filter((file) => !isSmall(file))
        .map((file): Sequence => ({
          ...{ kind: 'pages', image: undefined, pieces: pagePieces(imagesDir, file) },
        })),
      ...images.map(deviceMemory),
    ],
  };
}
