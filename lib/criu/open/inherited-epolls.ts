// SPDX-License-Identifier: MIT
/**
 * Epolls that a forked process has inherited. CRIU restores an open file in the process with the lowest pid of those that
 * have it, and there an epoll gets what it watches. A child may have a lower pid than its parent, once pids have wrapped;
 * then descriptors that the parent has opened since are missing there, and the restore would fail. Such a child gets
 * an epoll of its own, with what it has of the watched files: epolls are not used after a fork.
 * @module
 */
import { join } from 'node:path';
import {
  FdinfoEntrySchema,
  FileEntrySchema,
  TaskKobjIdsEntrySchema,
  type FileEntry,
} from '../gen/images_pb.ts';
import { appendToImage, changeImage, readImage } from '../image.ts';
import { decodeMessage, encodeMessage } from '../../protobuf.ts';
import { readPstree } from '../pstree.ts';
import { changeFiles, filesImage, readFiles } from './files-image.ts';

/** Processes that have the same descriptors. */
interface Table {
  /** Path of its image. */
  path: string;
  /** The lowest pid of them. */
  pid: number;
  /** The id in `files.img` of each descriptor. */
  ids: Map<number, number>;
}

/** Tables of descriptors in the order in which CRIU has looked at the processes. */
function readTables(dir: string): Table[] {
  const tables = new Map<number, Table>();
  for (const { pid } of readPstree(dir) ?? []) {
    const [entry] = readImage(join(dir, `ids-${pid}.img`), 'ids', TaskKobjIdsEntrySchema) ?? [];
    if (entry?.filesId === undefined) continue;
    const path = join(dir, `fdinfo-${entry.filesId}.img`);
    const descriptors = readImage(path, 'fdinfo', FdinfoEntrySchema) ?? [];
    const ids = new Map(descriptors.map(({ fd = 0, id = 0 }) => [fd, id]));
    const lowest = Math.min(pid, tables.get(entry.filesId)?.pid ?? pid);
    tables.set(entry.filesId, { path, pid: lowest, ids });
  }
  return [...tables.values()];
}

/** Tables where an epoll has to be another one, and whether a file that it watches is there as well. */
function tablesToSeparate(epoll: FileEntry, tables: readonly Table[]): [Table, (tfd: number) => boolean][] {
  const having = tables.filter(({ ids }) => [...ids.values()].includes(epoll.id ?? 0));
  const [owner] = having;
  if (!owner) return [];
  return having.flatMap((table): [Table, (tfd: number) => boolean][] => {
    const hasToo = (tfd: number): boolean => table.ids.get(tfd) === owner.ids.get(tfd);
    const hasAll = epoll.epfd?.tfd.every(({ tfd = 0 }) => hasToo(tfd)) ?? true;
    return table.pid < owner.pid && !hasAll ? [[table, hasToo]] : [];
  });
}

/** The same epoll under another id, with some of what it watches. */
function copyOf(epoll: FileEntry, id: number, isWatched: (tfd: number) => boolean): FileEntry {
  const copy = decodeMessage(FileEntrySchema, encodeMessage(FileEntrySchema, epoll), true);
  copy.id = id;
  if (copy.epfd) {
    copy.epfd.id = id;
    copy.epfd.tfd = copy.epfd.tfd.filter(({ tfd = 0 }) => isWatched(tfd));
  }
  return copy;
}

/** Gives epolls of their own to processes in which CRIU could not restore an inherited one. */
export function separateEpolls(dir: string): void {
  const tables = readTables(dir);
  if (tables.length < 2) return;
  const image = filesImage(dir);
  const epolls: FileEntry[] = [];
  let last = Math.max(0, ...(readFiles(dir) ?? []).map(({ id = 0 }) => id));
  // with the fields that the schema does not have: their copies need them
  changeFiles(
    dir,
    ({ epfd }) => epfd !== undefined,
    (file) => {
      epolls.push(file);
      return false;
    },
  );
  const copies = epolls.flatMap((epoll) =>
    tablesToSeparate(epoll, tables).map(([{ path }, isWatched]) => {
      const copy = copyOf(epoll, (last += 1), isWatched);
      changeImage(path, 'fdinfo', FdinfoEntrySchema, (descriptor) => {
        if (descriptor.id !== epoll.id) return false;
        descriptor.id = last;
        return true;
      });
      return copy;
    }),
  );
  if (copies.length > 0) appendToImage(image, FileEntrySchema, copies);
}
