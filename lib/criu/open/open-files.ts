// SPDX-License-Identifier: MIT
/**
 * What a dumped tree has open that reaches outside of it, and what of it a restore cannot bring back as it was. All of it
 * is read from the images, so it is what CRIU saw while the tree was frozen.
 * @module
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  RemapFilePathEntrySchema,
  FdinfoEntrySchema,
  MmEntrySchema,
  type FileEntry,
  type InetSkEntry,
} from '../gen/images_pb.ts';
import { changeFiles, readFiles, readFilesOf } from './files-image.ts';
import { separateEpolls } from './inherited-epolls.ts';
import { readImage } from '../image.ts';

/** CRIU's numbers, from its images/fdinfo.proto, sk-inet.proto and criu/sk-unix.c. */
const TCP_CLOSE = 7;
const IPPROTO_TCP = 6;
const SHUTDOWN_BOTH = 3;
const UNIX_OUTSIDE = 4;
const O_ACCMODE = 3;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;
/** Of a mapping: it is one of a file, and shared. */
const VMA_FILE_SHARED = 1 << 7;
const PROT_WRITE = 2;
const STDOUT = 1;
const STDERR = 2;

/** One end of a pipe, or the standard output of a program that has a Unix stream there; the other end is outside the tree. */
export interface OutsidePipe {
  /** CRIU's name of it: `pipe:[INODE]` or `socket:[INODE]`, with the inode at the dump. */
  resource: string;
  end: 'read' | 'write';
  /** The numbers that the tree's processes have for it, ascending. */
  descriptors: number[];
}

/** A connection to a process outside the tree. */
export interface OutsideConnection {
  kind: 'TCP' | 'Unix';
  /** `ADDRESS:PORT`, this side first; the inode of a Unix socket. */
  name: string;
}

/** The descriptors of each file of `files.img`, by its id there. */
function readDescriptors(dir: string): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const name of readdirSync(dir).filter((one) => /^fdinfo-\d+\.img$/.test(one))) {
    for (const { id = 0, fd = 0 } of readImage(join(dir, name), 'fdinfo', FdinfoEntrySchema) ?? []) {
      const same = found.get(id);
      if (same) same.push(fd);
      else found.set(id, [fd]);
    }
  }
  for (const descriptors of found.values()) descriptors.sort((one, other) => one - other);
  return found;
}

/** A file of the tree with a name, open or mapped. */
export interface OpenFile {
  /** Absolute. */
  path: string;
  canWrite: boolean;
  /** It is open for appending only. */
  appends: boolean;
  /** Its size at the dump, in bytes, where CRIU compares it. */
  size?: number | undefined;
  /** Its type and permissions at the dump. */
  mode?: number | undefined;
  /** Hexadecimal, of a program or library that has one. */
  buildId?: string | undefined;
}

/** The bytes of CRIU's words, with those that it adds to fill the last one. */
function buildIdOf(words: readonly number[]): string | undefined {
  if (words.length === 0) return undefined;
  const bytes = Buffer.alloc(4 * words.length);
  words.forEach((word, i) => bytes.writeUInt32LE(word, 4 * i));
  return bytes.toString('hex');
}

/** Every named file that the tree has open or mapped; one with several descriptions occurs several times. */
export function readOpenFiles(dir: string): OpenFile[] {
  const deleted = new Set(
    (readImage(join(dir, 'remap-fpath.img'), 'remap', RemapFilePathEntrySchema) ?? []).map(
      ({ origId }) => origId,
    ),
  );
  return (readFiles(dir) ?? []).flatMap(({ id, reg }): OpenFile[] => {
    // what has the name of a deleted file now is another file
    if (reg?.name?.startsWith('/') !== true || deleted.has(id)) return [];
    // CRIU's own name for a deleted file: its entry has no flags
    if (/\/link_remap\.\d+$/.test(reg.name)) return [{ path: reg.name, canWrite: true, appends: false }];
    const flags = reg.flags ?? 0;
    const access = flags & O_ACCMODE;
    return [
      {
        path: reg.name,
        canWrite: access !== 0,
        appends: access === O_WRONLY && (flags & O_APPEND) !== 0,
        size: reg.size === undefined ? undefined : Number(reg.size),
        mode: reg.mode,
        buildId: buildIdOf(reg.buildId),
      },
    ];
  });
}

/**
 * Paths of the files that processes of the tree write by mapping them, which their descriptors need not tell. It reads every
 * mapping of every process.
 */
export function readWrittenMappings(dir: string): Set<string> {
  const ids = new Set<number>();
  for (const name of readdirSync(dir).filter((one) => /^mm-\d+\.img$/.test(one)))
    for (const { vmas } of readImage(join(dir, name), 'mm', MmEntrySchema) ?? [])
      for (const { shmid, prot, status } of vmas)
        if ((status & VMA_FILE_SHARED) !== 0 && (prot & PROT_WRITE) !== 0) ids.add(Number(shmid));
  const mapped = (readFiles(dir) ?? []).filter(({ id = 0 }) => ids.has(id));
  return new Set(mapped.flatMap(({ reg }) => reg?.name ?? []));
}

const isOutput = (descriptors: readonly number[]): boolean =>
  descriptors.includes(STDOUT) || descriptors.includes(STDERR);

const isOutside = ({ usk }: FileEntry): boolean => ((usk?.uflags ?? 0) & UNIX_OUTSIDE) !== 0;

/** Paths of the regular files that a dumped tree had open or mapped. */
export const readFileNames = (dir: string): string[] =>
  (readFiles(dir) ?? []).flatMap(({ reg }) => reg?.name ?? []);

interface Open {
  files: readonly FileEntry[];
  /** The descriptors of a file, by its id. */
  descriptorsOf: (id: number) => readonly number[];
}

/** The pipes of which the tree has only one end. */
function outsidePipes({ files, descriptorsOf }: Open): OutsidePipe[] {
  const ends = files.flatMap(({ id = 0, pipe }) => {
    if (pipe?.pipeId === undefined) return [];
    const access = (pipe.flags ?? 0) & O_ACCMODE;
    const end = access === O_RDWR ? 'both' : access === O_WRONLY ? 'write' : 'read';
    return [{ id, inode: pipe.pipeId, end } as const];
  });
  const byInode = new Map<number, typeof ends>();
  for (const one of ends) {
    const same = byInode.get(one.inode);
    if (same) same.push(one);
    else byInode.set(one.inode, [one]);
  }
  return [...byInode].flatMap(([inode, same]) => {
    const [first] = same;
    if (!first || first.end === 'both' || same.some(({ end }) => end !== first.end)) return [];
    const numbers = same.flatMap(({ id }) => descriptorsOf(id));
    return [
      {
        resource: `pipe:[${inode}]`,
        end: first.end,
        descriptors: [...new Set(numbers)].sort((one, other) => one - other),
      },
    ];
  });
}

/** Output into a Unix stream, as systemd's journal and programs written for Node give it. */
function outsideOutput({ files, descriptorsOf }: Open): OutsidePipe[] {
  return files.filter(isOutside).flatMap(({ id = 0, usk }) => {
    const numbers = descriptorsOf(id);
    if (!isOutput(numbers)) return [];
    return [{ resource: `socket:[${usk?.ino ?? 0}]`, end: 'write' as const, descriptors: [...numbers] }];
  });
}

const allOutside = (open: Open): OutsidePipe[] => [...outsidePipes(open), ...outsideOutput(open)];

/** Everything open that something else must take the place of at a restore. */
export function readOutsidePipes(dir: string): OutsidePipe[] {
  const files = readFilesOf(dir, 'pipe', 'unixSocket');
  let descriptors: ReadonlyMap<number, number[]> | undefined; // few trees have such a pipe
  const descriptorsOf = (id: number): readonly number[] =>
    (descriptors ??= readDescriptors(dir)).get(id) ?? [];
  return allOutside({ files, descriptorsOf });
}

const MAPPED = 0xffff0000;

/** An address as CRIU stores it, 32-bit words in network order; the same text for an IPv4 address mapped into IPv6. */
export function addressText(words: readonly number[]): string {
  const [a, b, c, d] = words;
  const bytes = Buffer.alloc(4 * words.length);
  words.forEach((word, i) => bytes.writeUInt32LE(word >>> 0, 4 * i));
  if (words.length === 1) return bytes.join('.');
  if (a === 0 && b === 0 && c === MAPPED && d !== undefined) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return `[${groups.join(':')}]`;
}

/** Both ends, each as `ADDRESS:PORT`; `undefined` for a socket that is not a TCP connection. */
function endsOf({ isk }: FileEntry): { local: string; remote: string; ns: number } | undefined {
  if (isk?.proto !== IPPROTO_TCP || !isk.dstPort) return undefined;
  return {
    local: `${addressText(isk.srcAddr)}:${isk.srcPort ?? 0}`,
    remote: `${addressText(isk.dstAddr)}:${isk.dstPort}`,
    ns: isk.nsId ?? 0,
  };
}

/** TCP connections whose other end is in no process of the tree, by their id in `files.img`. */
function outsideTcp(files: readonly FileEntry[]): Map<number, string> {
  const ends = files.flatMap((file) => {
    const found = endsOf(file);
    return found ? [{ id: file.id ?? 0, ...found }] : [];
  });
  const names = new Set(ends.map(({ local, remote, ns }) => `${ns} ${local} ${remote}`));
  const outside = ends.filter(({ local, remote, ns }) => !names.has(`${ns} ${remote} ${local}`));
  return new Map(outside.map(({ id, local, remote }) => [id, `${local} ${remote}`]));
}

/** The program sees the connection as one that its peer has closed. */
function closeConnection(socket: InetSkEntry): void {
  Object.assign(socket, { state: TCP_CLOSE, srcPort: 0, dstPort: 0, shutdown: SHUTDOWN_BOTH });
}

/**
 * A periodic timer that expired just before the dump, and was not read: the kernel reports no time left, which CRIU would restore as
 * disarmed. One nanosecond lets it expire at once, and then periodically.
 */
function armTimer({ tfd }: FileEntry): boolean {
  if (!tfd?.ticks || tfd.vsec || tfd.vnsec || !(tfd.isec || tfd.insec)) return false;
  tfd.vnsec = 1n;
  return true;
}

/**
 * A timer that was set to a time has the time left in the image. CRIU adds the clock to it without its fraction, so that it
 * would expire up to a second early, and one that has expired again. One that also expires when the clock is set stays.
 */
function countDown({ tfd }: FileEntry): boolean {
  const flags = tfd?.settimeFlags ?? 0;
  const isArmed = Boolean(tfd?.vsec) || Boolean(tfd?.vnsec);
  if (!tfd || (flags & TFD_TIMER_ABSTIME) === 0) return false;
  if (isArmed && (flags & TFD_TIMER_CANCEL_ON_SET) !== 0) return false;
  tfd.settimeFlags = flags & ~TFD_TIMER_ABSTIME;
  return true;
}

/** Lets output that grows after the dump be continued at its end, whether it went into a file or will go into one. */
function appendOutput({ reg, pipe }: FileEntry, descriptors: readonly number[]): boolean {
  const isText = reg?.name?.includes('\ufffd') !== true; // a name in another encoding would not survive
  if (!isOutput(descriptors) || !isText) return false;
  const flags = reg?.flags ?? pipe?.flags ?? 0;
  if ((flags & O_ACCMODE) !== O_WRONLY) return false;
  if (pipe) pipe.flags = flags | O_APPEND; // a restore may put a file in its place
  if (reg?.size === undefined || reg.pos !== reg.size) return pipe !== undefined;
  reg.flags = flags | O_APPEND;
  reg.size = undefined; // CRIU compares it, but not that of a file open for appending
  return true;
}

/** What was changed in the images, and what a restore will not bring back. */
export interface AdjustedImages {
  /** Connections that a restore closes. */
  closed: OutsideConnection[];
  /** Pipes that a restore joins to its own output, or to /dev/null. */
  pipes: OutsidePipe[];
  /** Output files to which the tree appends from now on. */
  growing: string[];
}

/**
 * Changes complete images so that they can be restored any number of times, anywhere: connections to processes outside
 * the tree are closed, periodic timers are armed, output is appended, and epolls are restored where their descriptors are.
 * @param keepConnections leave TCP connections as they were dumped
 */
export function adjustImages(dir: string, keepConnections: boolean): AdjustedImages {
  const files = readFiles(dir);
  if (!files) return { closed: [], pipes: [], growing: [] };
  const descriptors = readDescriptors(dir);
  const pipes = allOutside({ files, descriptorsOf: (id) => descriptors.get(id) ?? [] });
  const growing: string[] = [];
  const connections = keepConnections ? new Map<number, string>() : outsideTcp(files);
  const descriptorsOf = ({ id = 0 }: FileEntry): number[] => descriptors.get(id) ?? [];
  const isClosed = ({ id = 0, isk }: FileEntry): boolean => isk !== undefined && connections.has(id);
  changeFiles(
    dir,
    (file) => isClosed(file) || file.tfd !== undefined || isOutput(descriptorsOf(file)),
    (file) => {
      const closes = isClosed(file);
      if (file.isk && closes) closeConnection(file.isk);
      const appends = appendOutput(file, descriptorsOf(file));
      if (appends && file.reg?.name !== undefined) growing.push(file.reg.name);
      return [closes, armTimer(file), countDown(file), appends].includes(true);
    },
  );
  separateEpolls(dir);
  const streams = files.filter((file) => isOutside(file) && !isOutput(descriptorsOf(file)));
  return {
    closed: [
      ...[...connections.values()].map((name) => ({ kind: 'TCP' as const, name })),
      ...streams.map(({ usk }) => ({ kind: 'Unix' as const, name: `inode ${usk?.ino ?? 0}` })),
    ],
    pipes,
    growing,
  };
}

const protocols: Readonly<Record<number, 'tcp' | 'udp'>> = { [IPPROTO_TCP]: 'tcp', 17: 'udp' };

/** A socket that has a port. */
export interface BoundSocket {
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
}

/** The socket with an id in `files.img`. @returns `undefined` when it is none that is bound to a port */
export function readBoundSocket(dir: string, id: number): BoundSocket | undefined {
  const files = readFilesOf(dir, 'inetSocket');
  const isk = files.find((file) => file.id === id)?.isk;
  const protocol = protocols[isk?.proto ?? 0];
  if (!isk?.srcPort || protocol === undefined) return undefined;
  return { protocol, address: addressText(isk.srcAddr), port: isk.srcPort };
}
