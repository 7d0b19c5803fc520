// SPDX-License-Identifier: MIT
/**
 * Makes an images directory of blobs. Stripes are hard links to blobs where the file system is the same; all other files
 * are put together from pieces, each of which is compared with its SHA-256 first.
 * @module
 */
import { webcrypto } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, open, rm, utimes, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../errno.ts';
import { digestOfFile } from '../age.ts';
import { decompressFile } from '../compression/zstd.ts';
import { RegistryError } from '../error.ts';
import type { Block, Description, ImageFile, Piece } from '../format.ts';
import { Limiter } from './limiter.ts';

/** Blocks that are decompressed and written at the same time: Node has as many threads for files and SHA-256. */
export const MOST_AT_ONCE = 4;

const RUN_BYTES = 65_536;
const NO_BYTES = Buffer.alloc(RUN_BYTES);

/** The file that a block is in. */
export interface BlockFile {
  path: string;
  /** Of the bytes in the file. */
  digest: string;
  isCompressed: boolean;
}

/** Finds the file of a block. */
export type FindBlock = (block: Block) => BlockFile;

/** A decompressed block in a directory that is being made: no file of an image begins with a dot. */
const plainName = (index: number): string => `.block-${index}`;

/** A block in the cache is not what its digest says. */
export class DamagedBlockError extends RegistryError {
  /** Of the bytes in its file. */
  readonly digest: string;

  /** @internal */
  constructor(digest: string, where: string) {
    super('ERR_REGISTRY_IMAGE', `block ${digest} in ${where} is damaged`, {
      hint: 'it was removed from the cache: pull the image again',
    });
    this.digest = digest;
  }
}

async function placeStripe(from: string, to: string, { mode, modified }: ImageFile): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!isErrno(error, 'EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP')) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await chmod(to, mode);
    await utimes(to, modified, modified);
  }
}

/** Writes the parts that are not zero: the rest are holes. */
async function writeRuns(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  const isEmpty = (from: number): boolean => {
    const run = bytes.subarray(from, from + RUN_BYTES);
    return run.equals(NO_BYTES.subarray(0, run.length));
  };
  for (let from = 0; from < bytes.length;) {
    let to = from;
    while (to < bytes.length && !isEmpty(to)) to = Math.min(bytes.length, to + RUN_BYTES);
    for (let done = from; done < to;)
      done += (await file.write(bytes, done, to - done, at + done)).bytesWritten;
    from = to + RUN_BYTES;
  }
}

async function readPiece(file: FileHandle, { offset, length }: Piece): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

/** Hexadecimal; on a thread of Node. */
async function sha256Of(bytes: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

/** Writes the pieces of one block to their files. */
async function scatter(
  block: Block,
  { path, digest }: BlockFile,
  targets: ReadonlyMap<number, FileHandle>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const from = await open(path, 'r');
  try {
    for (const piece of block.pieces) {
      signal?.throwIfAborted();
      const bytes = await readPiece(from, piece);
      if ((await sha256Of(bytes)) !== piece.sha256) throw new DamagedBlockError(digest, path);
      const target = targets.get(piece.file ?? -1);
      if (target) await writeRuns(target, bytes, piece.at ?? 0);
    }
  } finally {
    await from.close();
  }
}

/** The same for a block that may be compressed. */
async function scatterFile(
  block: Block,
  file: BlockFile,
  plain: string,
  targets: ReadonlyMap<number, FileHandle>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!file.isCompressed) {
    await scatter(block, file, targets, signal);
    return;
  }
  try {
    await decompressFile(file.path, plain, { digest: file.digest, size: block.size }, signal).catch(
      async (error: unknown) => {
        const isDamaged = error instanceof RegistryError && (await digestOfFile(file.path)) !== file.digest;
        throw isDamaged ? new DamagedBlockError(file.digest, file.path) : error;
      },
    );
    await scatter(block, { ...file, path: plain }, targets, signal);
  } finally {
    await rm(plain, { force: true });
  }
}

/** The images directory of an image, which is made of its blocks in any order. */
export class Assembly {
  readonly dir: string;
  readonly #description: Description;
  readonly #findBlock: FindBlock;
  readonly #targets = new Map<number, FileHandle>();

  private constructor(description: Description, dir: string, findBlock: FindBlock) {
    this.#description = description;
    this.dir = dir;
    this.#findBlock = findBlock;
  }

  /**
   * Creates the files that no block is, with their length.
   * @param dir is empty
   */
  static async begin(description: Description, dir: string, findBlock: FindBlock): Promise<Assembly> {
    const assembly = new Assembly(description, dir, findBlock);
    try {
      for (const [index, file] of description.files.entries()) {
        if (file.block !== undefined) continue;
        const handle = await open(join(dir, file.name), 'wx', 0o600);
        assembly.#targets.set(index, handle);
        await handle.truncate(file.size);
      }
      return assembly;
    } catch (error) {
      await assembly.close();
      throw error;
    }
  }

  /**
   * Adds a block: its pieces to their files, or the files that it is. Different blocks may be added at the same time.
   * @returns the names of these files
   * @throws {@link DamagedBlockError} it has changed in the cache
   */
  async add(block: Block, signal: AbortSignal | undefined): Promise<string[]> {
    const file = this.#findBlock(block);
    if (block.kind !== 'stripe') {
      // equal blocks are not one: each has places of its own
      const plain = join(this.dir, plainName(this.#description.blocks.indexOf(block)));
      await scatterFile(block, file, plain, this.#targets, signal);
      return [];
    }
    const { files, blocks } = this.#description;
    const own = files.filter((file) => file.block !== undefined && blocks[file.block] === block);
    for (const one of own) await placeStripe(file.path, join(this.dir, one.name), one);
    return own.map(({ name }) => name);
  }

  /** Completes the files that have all their pieces: all of them, or those without pages of host memory. */
  async settle(which: 'all' | 'small'): Promise<void> {
    const { files, blocks } = this.#description;
    const withPages = new Set(
      which === 'all'
        ? []
        : blocks
            .filter(({ kind }) => kind === 'pages')
            .flatMap(({ pieces }) => pieces.map(({ file }) => file)),
    );
    for (const [index, handle] of [...this.#targets]) {
      const file = files[index];
      if (!file || withPages.has(index)) continue;
      await handle.chmod(file.mode);
      await handle.utimes(file.modified, file.modified);
      await handle.sync();
      this.#targets.delete(index);
      await handle.close();
    }
  }

  async close(): Promise<void> {
    for (const handle of this.#targets.values()) await handle.close();
    this.#targets.clear();
  }
}

/**
 * Writes all files of an image.
 * @param dir is empty
 * @throws {@link DamagedBlockError} a block has changed in the cache
 */
export async function assemble(
  description: Description,
  dir: string,
  findBlock: FindBlock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const assembly = await Assembly.begin(description, dir, findBlock);
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const limiter = new Limiter(MOST_AT_ONCE);
  try {
    for (const block of description.blocks)
      limiter
        .run(async () => {
          either.throwIfAborted();
          await assembly.add(block, either);
        })
        .catch((error: unknown) => {
          failed.abort(error);
        });
    await limiter.ended();
    await assembly.settle('all');
  } finally {
    await assembly.close();
  }
}
