// SPDX-License-Identifier: MIT
/**
 * The terminal of a dumped tree, when the tree did not provide it itself. Where a restore has none, something else takes
 * its place: CRIU would refuse.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  FdinfoEntrySchema,
  FileEntrySchema,
  TtyInfoEntrySchema,
  type FileEntry,
  type TtyInfoEntry,
} from '../gen/images_pb.ts';
import { appendMessages, changeMessages, readImage } from '../image.ts';
import { fileTypes, filesImage, readFiles, readFilesOf } from './files-image.ts';

/** CRIU's numbers, from its images/fdinfo.proto and tty.proto; the rest is in files-image.ts. */
const REG = 1;
const PTY_TERMINAL = 1;
const OWN_TERMINAL = 4; // /dev/tty
/** The device /dev/ptmx: the other end of a terminal. */
const MASTER_DEVICE = 0x502;

const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const STDOUT = 1;
const STDERR = 2;

const isDescriptors = (name: string): boolean => /^fdinfo-\d+\.img$/.test(name);

/** The terminals that the tree has open, and whose other end it has not, by their ids in `files.img`. */
function outerTerminals(dir: string, files: readonly FileEntry[]): Map<number, FileEntry> {
  const infos = new Map(
    (readImage(join(dir, 'tty-info.img'), 'terminals', TtyInfoEntrySchema) ?? []).map((info) => [
      info.id,
      info,
    ]),
  );
  const open = files.flatMap((file) => {
    const info = infos.get(file.tty?.ttyInfoId);
    return info === undefined ? [] : [{ file, info }];
  });
  const isMaster = ({ rdev }: TtyInfoEntry): boolean => rdev === MASTER_DEVICE;
  const own = new Set(open.flatMap(({ info }) => (isMaster(info) ? (info.pty?.index ?? []) : [])));
  const isOuter = ({ type, pty }: TtyInfoEntry): boolean =>
    type === PTY_TERMINAL && pty?.index !== undefined && !own.has(pty.index);
  const outer = open.filter(({ info }) => !isMaster(info) && isOuter(info));
  const named = outer.length === 0 ? [] : open.filter(({ info }) => info.type === OWN_TERMINAL);
  return new Map([...outer, ...named].map(({ file }) => [file.id ?? 0, file]));
}

/** Numbers that no file has. */
function* freeIds(files: readonly FileEntry[]): Generator<number, never> {
  const used = files.flatMap(({ id = 0, pipe }) => [id, pipe?.pipeId ?? 0]);
  for (let id = Math.max(0, ...used) + 1; ; id++) yield id;
}

/** What takes the place of a terminal. */
interface Places {
  /** A pipe to outside the tree, for stdout and stderr: a restore joins it to something. */
  output: FileEntry;
  /** /dev/null for stdin and the rest. */
  rest: FileEntry;
}

function placesOf(terminal: FileEntry, ids: Generator<number, never>): Places {
  const { fown = new Uint8Array(), flags = O_RDWR } = terminal.tty ?? {};
  const [outputId, pipeId, restId] = [ids.next().value, ids.next().value, ids.next().value];
  const pipe = { id: outputId, pipeId, flags: O_WRONLY | O_APPEND, fown };
  const reg = { id: restId, flags, pos: 0n, fown, name: '/dev/null', buildId: [] };
  return {
    output: { type: fileTypes.pipe, id: outputId, pipe },
    rest: { type: REG, id: restId, reg },
  };
}

/**
 * The images that have to take the place of those in a directory, so that its tree can be restored without a terminal.
 * @returns by name; empty when the tree has no terminal, or its own
 */
export function imagesWithoutTerminal(dir: string): Map<string, Buffer> {
  const terminals = outerTerminals(dir, readFilesOf(dir, 'terminal'));
  const ids = freeIds(terminals.size === 0 ? [] : (readFiles(dir) ?? []));
  const places = new Map([...terminals].map(([id, file]) => [id, placesOf(file, ids)]));
  const changed = new Map<string, Buffer>();
  if (places.size === 0) return changed;
  const files = changeMessages(readFileSync(filesImage(dir)), 'files', FileEntrySchema, (file) => {
    const place = file.type === fileTypes.terminal ? places.get(file.id ?? 0) : undefined;
    if (place === undefined) return false;
    Object.assign(file, {
      type: fileTypes.pipe,
      id: place.output.id,
      tty: undefined,
      pipe: place.output.pipe,
    });
    return true;
  });
  const rest = [...places.values()].map((place) => place.rest);
  changed.set(basename(filesImage(dir)), appendMessages(files, FileEntrySchema, rest));
  for (const name of readdirSync(dir).filter(isDescriptors)) {
    const bytes = readFileSync(join(dir, name));
    const after = changeMessages(bytes, 'fdinfo', FdinfoEntrySchema, (entry) => {
      const place = entry.type === fileTypes.terminal ? places.get(entry.id ?? 0) : undefined;
      if (place === undefined) return false;
      const { id, type } = entry.fd === STDOUT || entry.fd === STDERR ? place.output : place.rest;
      Object.assign(entry, { id, type });
      return true;
    });
    changed.set(name, after);
  }
  return changed;
}
