// SPDX-License-Identifier: MIT
/**
 * What was installed into a plugin directory and what it replaced. The manifest is in a subdirectory, because CRIU
 * loads only the `*.so` files in the directory itself.
 * @module
 */
import { existsSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InstallError } from './error.ts';

/** The directory next to the plugins. */
export const backupDirName = '.criu-cuda-backup';

const fileName = z.string().regex(/^[\w.-]+$/);
const files = z.record(fileName, z.object({ sha256: z.string(), mode: z.number().int() }));

const installation = {
  variant: z.string(),
  version: z.string(),
  installedAt: z.string(),
  /** Name of the interceptor's build, for variants that use it. */
  interceptor: fileName.optional(),
};

const manifestSchema = z.object({
  schemaVersion: z.literal(1),
  /** The installed plugin; `null` after a rollback to files that are not ours. */
  current: z.object({ ...installation, files }).nullable(),
  /** What each installation replaced, oldest first. */
  history: z.array(
    z.object({
      /** Directory with the files, in the backup directory. */
      id: z.string().regex(/^\d+$/),
      /** A description for people, such as `CRIU's own CUDA plugin`; `nothing` when there were no files. */
      what: z.string(),
      /** Variant and version of these files, if they were ours. */
      installation: z.object(installation).nullable(),
      files,
    }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Installation = NonNullable<Manifest['current']>;
export type HistoryEntry = Manifest['history'][number];
export type FileTable = z.infer<typeof files>;

export const emptyManifest: Manifest = { schemaVersion: 1, current: null, history: [] };

export function manifestPath(libdir: string): string {
  return join(libdir, backupDirName, 'manifest.json');
}

/** @returns an empty manifest if nothing was ever installed */
export async function readManifest(libdir: string): Promise<Manifest> {
  const path = manifestPath(libdir);
  if (!existsSync(path)) return emptyManifest;
  try {
    return manifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new InstallError('ERR_INSTALL_MANIFEST', `${path} is damaged`, {
      hint: `repair the plugin directory by hand, then remove ${join(libdir, backupDirName)}`,
      cause: error,
    });
  }
}

/** Writes a text file so that a crash leaves the old file or the new one. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, 'w', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

export async function writeManifest(libdir: string, manifest: Manifest): Promise<void> {
  await replaceFile(manifestPath(libdir), `${JSON.stringify(manifest, null, 2)}\n`);
}
