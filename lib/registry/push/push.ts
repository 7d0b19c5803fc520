// SPDX-License-Identifier: MIT
/**
 * Pushes a checkpoint to a registry. Threads write blocks to a temporary directory and send them from there, a few at a
 * time, so that no second copy of the checkpoint is needed; what the registry has is not moved again.
 * @module
 */
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { checkPath } from '../../check.ts';
import { readInventory } from '../../criu/index.ts';
import {
  directoryProblem,
  irregularImage,
  makeTemporaryDirectory,
  removeTemporaryDirectory,
} from '../../directory.ts';
import { isErrno } from '../../errno.ts';
import { EnvironmentError, UsageError } from '../../errors.ts';
import { moveChunks, type ChunkPlace } from '../../images/index.ts';
import { formatBytes } from '../../output.ts';
import type { OnTransfer } from '../../process/index.ts';
import { packageVersion } from '../../version.ts';
import { checkRecipients, encryptBlock } from '../age.ts';
import { hasZstd } from '../compression/zstd.ts';
import { Limiter } from '../directory/limiter.ts';
import { RegistryError } from '../error.ts';
import {
  encryptedDescriptionType,
  hexOf,
  maxDescriptionBytes,
  type Block,
  type Description,
  type ImageFile,
  type Layer,
} from '../format.ts';
import { differentBlocks } from '../inspect.ts';
import { createLayout, digestsDir, writeBlob, writeImage } from '../layout.ts';
import { parseReference } from '../reference.ts';
import type { LayoutPlace, RegistryOptions } from '../skopeo.ts';
import { readStack } from '../stack.ts';
import { blockOf, cutFor, planBlocks } from './blocks.ts';
import { readContents, type Contents, type Sequence, type SourcePiece } from './contents.ts';
import { identityOf, recall, remember, type Identity, type Pushed } from './remembered.ts';
import { Room } from './room.ts';
import { BlockStore } from './store.ts';
import { PushThreads } from './threads.ts';

/** Pieces of host memory that a thread looks at in one go. */
const MARKED = 16;

/** What to push, and how. */
export interface PushOptions extends RegistryOptions {
  /** Keys of age, `age1…`, whose owners can pull it. @default it is not encrypted */
  recipients?: readonly string[] | undefined;
  /**
   * Read all files, also those of a directory that was pushed before and has not changed since, as far as the sizes, inodes
   * and times of its files tell.
   * @default false
   */
  verify?: boolean | undefined;
  /** Called with the bytes that were read, hashed and pushed. */
  onProgress?: OnTransfer | undefined;
}

/** What was pushed. */
export interface PushResult {
  /** The reference, with its tag. */
  reference: string;
  /** Digest of the manifest: with it, a pull gets this checkpoint and no other. */
  digest: string;
  /** Bytes of the checkpoint's files. */
  bytes: number;
  /** Bytes of all blocks, each different one once, before they are compressed and encrypted. */
  blockBytes: number;
  /** Bytes of them in the registry. */
  storedBytes: number;
  /** Number of different blocks. */
  blocks: number;
  /** It is encrypted. */
  isEncrypted: boolean;
  /** Messages for the user. */
  warnings: string[];
}

/** What a description says besides files and blocks. */
type MachineFacts = Omit<Description, 'files' | 'blocks' | 'isEncrypted'>;

/** Blocks of a sequence, and where its pieces are in them. */
interface Written {
  blocks: Block[];
  places: ChunkPlace[];
}

/** One push: the temporary layout, and what was written to it. */
class Push {
  readonly #imagesDir: string;
  readonly #options: PushOptions;
  readonly #reference;
  readonly #place: LayoutPlace;
  readonly #threads = new PushThreads();
  readonly #limiter = new Limiter(this.#threads.nr);
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #store: BlockStore;
  readonly #room: Room;
  #readBytes = 0;
  #totalBytes = 0;

  /** @param temporary an empty directory */
  constructor(imagesDir: string, reference: string, temporary: string, options: PushOptions) {
    const { signal } = options;
    this.#place = createLayout(temporary);
    this.#imagesDir = imagesDir;
    this.#options = options;
    this.#reference = parseReference(reference);
    this.#signal = signal ? AbortSignal.any([signal, this.#failed.signal]) : this.#failed.signal;
    this.#signal.addEventListener('abort', () => void this.#threads.close());
    this.#store = new BlockStore(this.#place, this.#reference, this.#threads, {
      ...{ ...options, imagesDir, signal: this.#signal },
    });
    this.#room = new Room(this.#threads.nr, ({ kind }) => this.#store.copies(kind));
  }

  get #isEncrypted(): boolean {
    return (this.#options.recipients ?? []).length > 0;
  }

  /** Bytes that the temporary directory needs to have free for all of it. */
  get roomBytes(): number {
    return this.#room.bytes(Math.min(this.#totalBytes, this.#store.waitingBytes));
  }

  async close(): Promise<void> {
    await this.#threads.close();
    await this.#limiter.ended().catch(() => undefined);
  }

  #report({ size }: Block): void {
    const { onProgress } = this.#options;
    this.#readBytes += size;
    onProgress?.({ doneBytes: this.#readBytes, totalBytes: Math.max(this.#readBytes, this.#totalBytes) });
  }

  /** Host memory without its zeroes, each piece with its mark. */
  async #mark(pieces: readonly SourcePiece[]): Promise<SourcePiece[]> {
    const groups = Array.from({ length: Math.ceil(pieces.length / MARKED) }, (_, index) =>
      pieces.slice(index * MARKED, (index + 1) * MARKED),
    );
    const marked = await Promise.all(
      groups.map(async (group) => {
        const marks = await this.#threads.run('mark', { dir: this.#imagesDir, pieces: group });
        return group.flatMap((piece, index) => {
          const mark = marks[index];
          return mark === undefined ? [] : [{ ...piece, mark }];
        });
      }),
    );
    return marked.flat();
  }

  async #writeSequence(sequence: Sequence, names: ReadonlyMap<string, number>): Promise<Written> {
    const { kind } = sequence;
    const pieces = kind === 'pages' ? await this.#mark(sequence.pieces) : sequence.pieces;
    const plan = planBlocks(kind, pieces, cutFor(sequence), (name) => names.get(name) ?? 0);
    this.#room.note(
      sequence,
      plan.blocks.map(({ size }) => size),
    );
    const blocks: Block[] = [];
    await Promise.all(
      plan.blocks.map((planned, index) =>
        this.#limiter.run(async () => {
          this.#signal.throwIfAborted();
          const block = await this.#store.add(planned);
          this.#report(block);
          blocks[index] = block;
        }),
      ),
    );
    return { blocks, places: plan.places };
  }

  /** The files of a GPU image: its blocks, which are its stripes, and its manifest, which gets them. */
  async #describeGpuImage(
    { image }: Sequence,
    { blocks, places }: Written,
    first: number,
    files: ImageFile[],
  ): Promise<{ index: number; bytes: Buffer } | undefined> {
    if (!image) return undefined;
    const modified = image.manifest.created.getTime() / 1000;
    const { pid } = image.manifest;
    for (const [index, { size }] of blocks.entries())
      files.push({ name: `cuda-${pid}-${index}.img`, size, mode: 0o600, modified, block: first + index });
    const sizes = blocks.map(({ size }) => size);
    const bytes = await moveChunks(join(this.#imagesDir, image.name), places, sizes);
    files.push({ name: image.name, size: bytes.length, mode: 0o600, modified });
    return { index: files.length - 1, bytes };
  }

  async #writeAll({ files: sources, sequences }: Contents): Promise<Pick<Description, 'files' | 'blocks'>> {
    const pieces = sequences.flatMap((sequence) => sequence.pieces);
    this.#totalBytes = pieces.reduce((sum, { length }) => sum + length, 0);
    for (const sequence of sequences) this.#room.noteUnknown(sequence, cutFor(sequence).most);
    const files: ImageFile[] = sources.map((file) => ({ ...file }));
    const names = new Map(files.map(({ name }, index) => [name, index]));
    const written = await Promise.all(sequences.map((sequence) => this.#writeSequence(sequence, names)));
    const blocks: Block[] = [];
    const manifests = [];
    for (const [index, sequence] of sequences.entries()) {
      const one = written[index];
      if (!one) continue;
      const manifest = await this.#describeGpuImage(sequence, one, blocks.length, files);
      if (manifest) manifests.push(manifest);
      blocks.push(...one.blocks);
    }
    if (manifests.length > 0) {
      const { block, bytes } = blockOf(manifests);
      await this.#store.addBytes(block, bytes);
      this.#report(block);
      blocks.push(block);
    }
    return { files, blocks };
  }

  /** The same; the first failure ends everything else, and is thrown. */
  async #writeContents(contents: Contents): Promise<Pick<Description, 'files' | 'blocks'>> {
    try {
      const done = await this.#writeAll(contents);
      await this.#store.settle();
      return done;
    } catch (error) {
      this.#failed.abort(error);
      this.#options.signal?.throwIfAborted();
      throw error;
    }
  }

  #checkDescription({ length }: string): void {
    if (length <= maxDescriptionBytes) return;
    throw new RegistryError(
      'ERR_REGISTRY',
      `the description of ${this.#imagesDir} has ${length} bytes, and registry clients read ${maxDescriptionBytes}`,
      { hint: "keep host memory out of CRIU's images, with the variants remap, parallel or full" },
    );
  }

  /** The description is encrypted, too; only what a machine needs to have can be read by everyone. */
  async #encryptDescription(text: string): Promise<Layer> {
    const { recipients = [], signal } = this.#options;
    const { digest } = writeBlob(this.#place.blobsDir, text);
    const path = join(digestsDir(this.#place.blobsDir), hexOf(digest));
    const encrypted = await encryptBlock(path, recipients, signal);
    return { mediaType: encryptedDescriptionType, digest: encrypted.digest, size: encrypted.size };
  }

  /** Pushes the image, whose blocks the registry has. */
  async #finish(machine: MachineFacts, { files, blocks, layers }: Pushed): Promise<PushResult> {
    const text = JSON.stringify({ ...machine, isEncrypted: false, files, blocks });
    this.#checkDescription(text);
    const isEncrypted = this.#isEncrypted;
    const open: Description = { ...machine, isEncrypted, files: [], blocks: [] };
    const digest = isEncrypted
      ? writeImage(this.#place, JSON.stringify(open), [...layers, await this.#encryptDescription(text)])
      : writeImage(this.#place, text, layers);
    await this.#store.push(this.#reference.text);
    return {
      ...{ reference: this.#reference.text, digest, isEncrypted },
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      blockBytes: differentBlocks({ blocks }).reduce((sum, { size }) => sum + size, 0),
      storedBytes: layers.reduce((sum, { size }) => sum + size, 0),
      blocks: layers.length,
      warnings: [
        `${this.#reference.text} has the memory and the environment of the program, with every password and key in it: anyone who can pull it can read them${isEncrypted ? ', with one of the keys' : ''}`,
        ...(hasZstd()
          ? []
          : [
              'host memory was not compressed, because zstd is missing: apt-get install --no-install-recommends zstd',
            ]),
      ],
    };
  }

  /** The same for what an earlier push has brought there. @returns `undefined` where the registry does not have all of it */
  async #finishKnown(machine: MachineFacts, known: Pushed): Promise<PushResult | undefined> {
    try {
      return await this.#finish(machine, known);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof RegistryError) return undefined; // a push of everything succeeds, or says why not
      throw error;
    }
  }

  /** Whether the directory is what it was: it may be removed as soon as it is pushed. */
  #isStill({ key }: Identity, contents: Contents): boolean {
    try {
      return identityOf(this.#imagesDir, contents).key === key;
    } catch {
      return false;
    }
  }

  async run(): Promise<PushResult> {
    const { signal, verify = false } = this.#options;
    const [stack, contents] = await Promise.all([
      readStack(this.#imagesDir, signal),
      readContents(this.#imagesDir),
      this.#store.begin(),
    ]);
    const created = statSync(join(this.#imagesDir, 'inventory.img')).mtime.toISOString();
    const machine = { schemaVersion: 1 as const, tool: packageVersion(), created, stack };
    const identity = identityOf(this.#imagesDir, contents);
    const known = this.#isEncrypted || verify ? undefined : recall(identity);
    const done = known && (await this.#finishKnown(machine, known));
    if (done) return done;
    const written = await this.#writeContents(contents);
    const pushed = { ...written, layers: await this.#store.layersOf(differentBlocks(written)) };
    const result = await this.#finish(machine, pushed);
    if (!this.#isEncrypted && this.#isStill(identity, contents)) remember(identity, pushed);
    return result;
  }
}

/** @throws the error with a remedy, where the temporary directory is full */
function explainFull(error: unknown, push: Push | undefined): never {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
  const what = push ? `${formatBytes(push.roomBytes)} of free space` : 'free space';
  throw new EnvironmentError(`the temporary directory is full: ${tmpdir()}`, [
    { what, remedy: 'free space, or set TMPDIR to a directory that has it' },
  ]);
}

/**
 * Pushes the checkpoint in a directory. A second push of the same, or of one that shares blocks with it, moves only what
 * the registry does not have; so does one after a failure.
 * @throws {@link RegistryError} the registry refuses or cannot be reached
 */
export async function pushImage(
  imagesDir: string,
  reference: string,
  options: PushOptions = {},
): Promise<PushResult> {
  checkPath('directory', imagesDir);
  const dir = resolve(imagesDir);
  checkRecipients(options.recipients ?? []);
  const target = parseReference(reference);
  if (target.digest !== undefined)
    throw new UsageError(`${reference} has a digest`, 'push to a tag; the digest is printed afterwards');
  const problem = directoryProblem(dir);
  if (problem !== undefined) throw new UsageError(problem, 'pass the images directory of a checkpoint');
  const irregular = irregularImage(dir);
  if (irregular !== undefined)
    throw new UsageError(irregular, 'this directory is not as a checkpoint has left it: do not trust it');
  if (readInventory(dir) === undefined)
    throw new UsageError(
      `${dir} does not contain a complete checkpoint: inventory.img is missing`,
      'pass the images directory of a checkpoint',
    );
  const temporary = makeTemporaryDirectory('criu-cuda-push-');
  let push: Push | undefined;
  try {
    push = new Push(dir, reference, temporary, options);
    return await push.run();
  } catch (error) {
    return explainFull(error, push);
  } finally {
    await push?.close();
    removeTemporaryDirectory(temporary);
  }
}
