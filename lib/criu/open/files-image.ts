// SPDX-License-Identifier: MIT
/** `files.img`: every file that a dumped tree has open or mapped. @module */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FileEntrySchema, type FileEntry } from '../gen/images_pb.ts';
import { bytesOfImage, changeImage, decodeFile, endOfMessages } from '../image.ts';

/** Path of the image. */
export const filesImage = (dir: string): string => join(dir, 'files.img');

/** CRIU's numbers for types of files, from its images/fdinfo.proto. */
export const fileTypes = { pipe: 2, inetSocket: 4, unixSocket: 5, terminal: 11 } as const;
export type FileType = keyof typeof fileTypes;

/** An image that was read, as far as its files have been asked for. */
interface Read {
  bytes: Buffer;
  files?: readonly FileEntry[];
  ofTypes: Map<string, readonly FileEntry[]>;
}

/** The last image that was read: a dump or restore asks for the same one several times. */
let last: Read | undefined;

/** @returns `undefined` when there is no such image */
function read(dir: string): Read | undefined {
  const bytes = bytesOfImage(filesImage(dir));
  if (!bytes) return undefined;
  if (last?.bytes.equals(bytes) !== true) last = { bytes, ofTypes: new Map() };
  return last;
}

/** What was decoded of an image while CRIU was writing it: whole messages. */
let ahead: { bytes: Buffer; files: FileEntry[] } | undefined;

/** The part of an image that is decoded already. @returns nothing when it begins otherwise */
function decodedOf(bytes: Buffer): { bytes: Buffer; files: FileEntry[] } {
  const isBegin = ahead?.bytes.equals(bytes.subarray(0, ahead.bytes.length)) === true;
  return ahead && isBegin ? ahead : { bytes: Buffer.alloc(0), files: [] };
}

const startOf = ({ length }: Buffer): number | undefined => (length === 0 ? undefined : length);

/** How often, and how many messages at a time: for a millisecond or two, this program does nothing else. */
const AHEAD_MS = 10;
const AHEAD_MESSAGES = 200;

function decodeSome(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0 || size === ahead?.bytes.length) return;
  try {
    const bytes = readFileSync(path);
    const { bytes: before, files } = decodedOf(bytes);
    const from = startOf(before);
    const whole = bytes.subarray(0, endOfMessages(bytes, 'files', AHEAD_MESSAGES, from));
    files.push(...decodeFile(path, whole, 'files', FileEntrySchema, { from }));
    ahead = { bytes: whole, files };
  } catch {
    // not even its head is there, or it is damaged: the one who needs it will notice
  }
}

/**
 * Decodes the image while CRIU is writing it, so that {@link readFiles} has less to do when it is complete.
 * @returns what ends it
 */
export function readFilesAhead(dir: string): () => void {
  const path = filesImage(dir);
  const timer = setInterval(() => {
    decodeSome(path);
  }, AHEAD_MS);
  return () => {
    clearInterval(timer);
  };
}

/** @returns `undefined` when there is no such image */
export function readFiles(dir: string): readonly FileEntry[] | undefined {
  const found = read(dir);
  if (!found || found.files) return found?.files;
  const { bytes, files } = decodedOf(found.bytes);
  const rest = decodeFile(filesImage(dir), found.bytes, 'files', FileEntrySchema, { from: startOf(bytes) });
  return (found.files = [...files, ...rest]);
}

/** The key of the first field of a message: its type, a number of one byte. */
const TYPE = 0x08;

/**
 * The files of some types. A server has thousands of mapped files and a hundred others: to decode only these saves a restore a
 * tenth of a second.
 * @returns nothing when there is no such image
 */
export function readFilesOf(dir: string, ...types: FileType[]): readonly FileEntry[] {
  const found = read(dir);
  if (!found) return [];
  const wanted: readonly (number | undefined)[] = types.map((type) => fileTypes[type]);
  const key = types.join();
  const files =
    found.ofTypes.get(key) ??
    found.files?.filter(({ type }) => wanted.includes(type)) ??
    decodeFile(filesImage(dir), found.bytes, 'files', FileEntrySchema, {
      isWanted: (message) => message[0] !== TYPE || wanted.includes(message[1]),
    });
  found.ofTypes.set(key, files);
  return files;
}

/**
 * Changes some files in the image, see `changeImage`. A server has more than a thousand, and few of them are changed: only
 * these are decoded for it, and no later reader decodes the image once more.
 * @param mayChange tells which files are given to `change`
 */
export function changeFiles(
  dir: string,
  mayChange: (file: FileEntry) => boolean,
  change: (file: FileEntry) => boolean,
): void {
  const files = [...(readFiles(dir) ?? [])];
  const isCandidate = files.map(mayChange);
  const noting = (file: FileEntry, index: number): boolean => {
    const isChanged = change(file);
    if (isChanged) files[index] = file;
    return isChanged;
  };
  const bytes = changeImage(
    filesImage(dir),
    'files',
    FileEntrySchema,
    noting,
    (index) => isCandidate[index] === true,
  );
  last = { bytes, files, ofTypes: new Map() };
}
