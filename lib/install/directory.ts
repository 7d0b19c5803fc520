// SPDX-License-Identifier: MIT
/**
 * Changes to one plugin directory: its lock, and files that are added and removed atomically.
 * @module
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { access, constants, copyFile, mkdir, open, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, reasonOf } from '../errno.ts';
import { EnvironmentError } from '../errors.ts';
import { backupDirName, type FileTable } from './manifest.ts';
import { InstallError } from './error.ts';

export interface FileFacts {
  sha256: string;
  mode: number;
}

export function fileFacts(path: string): FileFacts | undefined {
  if (!existsSync(path)) return undefined;
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  return { sha256, mode: statSync(path).mode & 0o777 };
}

/** Facts about those of the named files that exist in `dir`. */
export function tableOf(dir: string, names: readonly string[]): FileTable {
  const table: FileTable = {};
  for (const name of names) {
    const facts = fileFacts(join(dir, name));
    if (facts) table[name] = facts;
  }
  return table;
}

export function sameFiles(a: FileTable, b: FileTable): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => a[name] !== undefined && a[name].sha256 === b[name]?.sha256);
}

/** Replaces one file atomically: a reader sees the old file or the new one. */
export async function putFile(from: string, to: string, mode: number): Promise<void> {
  // the name does not end in .so, so that CRIU ignores it
  const temporary = `${to}.${process.pid}.tmp`;
  try {
    await copyFile(from, temporary);
    const file = await open(temporary, 'r+');
    try {
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, to);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces the files `from` in `libdir` with the files `to`: new ones are added first, then those no longer wanted
 * are removed.
 * @param source directory with the files of `to`
 */
export async function changeFiles(
  libdir: string,
  from: FileTable,
  source: string,
  to: FileTable,
): Promise<void> {
  for (const [name, { mode }] of Object.entries(to)) {
    await putFile(join(source, name), join(libdir, name), mode);
  }
  for (const name of Object.keys(from)) {
    if (to[name] === undefined) await rm(join(libdir, name), { force: true });
  }
  await syncDirectory(libdir);
}

/** Keeps backup copies of files. */
export async function keepFiles(libdir: string, table: FileTable, target: string): Promise<void> {
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const [name, { mode }] of Object.entries(table)) {
    await putFile(join(libdir, name), join(target, name), mode);
  }
}

async function prepare(libdir: string): Promise<void> {
  try {
    await mkdir(join(libdir, backupDirName), { recursive: true });
    await access(libdir, constants.W_OK);
  } catch (error) {
    throw new EnvironmentError(`cannot write ${libdir}: ${reasonOf(error)}`, [
      { what: `write access to ${libdir}`, remedy: 'run as root, or choose another --libdir' },
    ]);
  }
}

function holderOf(lock: string): number | undefined {
  try {
    return Number(readFileSync(lock, 'utf8'));
  } catch {
    return undefined; // released in the meantime
  }
}

/**
 * Runs a function while the directory is locked against other installations. The directory for backups exists by
 * then.
 */
export async function withLockedDirectory<T>(libdir: string, run: () => Promise<T>): Promise<T> {
  await prepare(libdir);
  const lock = join(libdir, backupDirName, 'lock');
  const holder = holderOf(lock);
  // left by a process that was killed
  if (holder !== undefined && !existsSync(`/proc/${holder}`)) await rm(lock, { force: true });
  try {
    const file = await open(lock, 'wx', 0o644);
    await file.writeFile(`${process.pid}`);
    await file.close();
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new InstallError('ERR_INSTALL_BUSY', `${libdir} is being changed by process ${holder ?? '?'}`, {
      hint: `wait for it, or remove ${lock}`,
    });
  }
  try {
    return await run();
  } finally {
    await rm(lock, { force: true });
    // refused before anything was backed up: leave nothing behind
    await rmdir(join(libdir, backupDirName)).catch(() => undefined);
  }
}
