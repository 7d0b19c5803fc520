// SPDX-License-Identifier: MIT
/**
 * How far a dump or restore is, in bytes, seen from outside: the space that image files take, what processes have read
 * (/proc/PID/io), and what the pool says. Nothing of it is needed by the operation, so whatever cannot be read counts as
 * nothing.
 * @module
 */
import { statSync } from 'node:fs';
import { bytesOfFiles, ReadMeter, type TransferProgress } from '../process/index.ts';

const IMAGE = /\.img$/;
/** Files with the contents of memory. */
const CONTENTS = /^(?:pages-\d+|cuda-\d+-\d+|cuda-pages-.+)\.img$/;

/** A dump: what is written into the images directory. @param expectedBytes before files have their lengths */
export function dumpTransfer(imagesDir: string, expectedBytes: number): () => TransferProgress {
  return () => {
    const { size, written } = bytesOfFiles(imagesDir, IMAGE);
    return { doneBytes: written, totalBytes: Math.max(expectedBytes, size) };
  };
}

/** The length of the files with the contents of memory. */
export const contentBytes = (imagesDir: string): number => bytesOfFiles(imagesDir, CONTENTS).size;

/** What the daemon has copied for one criu; a helper is one of criu's descendants. */
async function pooledBytes(runDir: string, criuPid: number): Promise<number> {
  // loaded only for someone who watches
  const { readPoolWork } = await import('../pool/index.ts');
  const work = await readPoolWork({ runDir }).catch(() => undefined);
  const ours = work?.operations.filter((one) => one.kind === 'restore' && one.criuPid === criuPid) ?? [];
  return ours.reduce((all, { doneBytes }) => all + doneBytes, 0);
}

/**
 * A restore: what criu and its descendants have read, and what the daemon has copied.
 * @param criu its pid, once it runs
 */
export function restoreTransfer(
  imagesDir: string,
  runDir: string,
  criu: () => number | undefined,
): () => Promise<TransferProgress> {
  const meter = new ReadMeter(contentBytes(imagesDir));
  return async () => {
    const pid = criu();
    return pid === undefined ? meter.none() : meter.read(pid, await pooledBytes(runDir, pid));
  };
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

const sum = (one: TransferProgress, other: TransferProgress): TransferProgress => ({
  doneBytes: one.doneBytes + other.doneBytes,
  totalBytes: one.totalBytes + other.totalBytes,
});

/** A dump whose images are then packed into a tar file. */
export function packedDumpTransfer(
  imagesDir: string,
  expectedBytes: number,
  tar: string,
): () => TransferProgress {
  const images = dumpTransfer(imagesDir, expectedBytes);
  return () => {
    const written = images();
    const { totalBytes } = written;
    return sum(written, { doneBytes: Math.min(sizeOf(tar), totalBytes), totalBytes });
  };
}

/**
 * A restore from a tar file, with images that are about as large as the file.
 * @param unpacker the process that unpacks it
 * @param criu its pid, once it runs
 */
export function packedRestoreTransfer(
  tar: string,
  unpacker: number,
  criu: () => number | undefined,
): () => TransferProgress {
  const [unpacked, restored] = [new ReadMeter(sizeOf(tar)), new ReadMeter(sizeOf(tar))];
  return () => {
    const pid = criu();
    return sum(unpacked.read(unpacker), pid === undefined ? restored.none() : restored.read(pid));
  };
}
