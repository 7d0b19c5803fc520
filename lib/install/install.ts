// SPDX-License-Identifier: MIT
/**
 * Installs a plugin variant in a plugin directory of CRIU, keeps what it replaces, and reinstalls that on request. A
 * directory never has two CUDA plugins afterwards, and only CUDA plugins are replaced.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { EnvironmentError, ToolkitError } from '../errors.ts';
import { inspectPluginDirectory, inspectPlugin, isCudaPlugin, type PluginInfo } from '../inspect/index.ts';
import { pluginFileName } from '../paths.ts';
import { changeFiles, fileFacts, keepFiles, sameFiles, tableOf, withLockedDirectory } from './directory.ts';
import { addInterceptor, removeInterceptors, selectInterceptor } from './interceptor.ts';
import {
  backupDirName,
  manifestPath,
  readManifest,
  writeManifest,
  type FileTable,
  type HistoryEntry,
  type Manifest,
} from './manifest.ts';
import { InstallError } from './error.ts';
import { checkPath } from '../check.ts';

/** What is installed where. */
export interface InstallOptions {
  /** Directory of the built variant. */
  source: string;
  /** The plugin directory of CRIU. */
  libdir: string;
  /** The interceptor, for variants that use it: the file with its build id in its name. @default none */
  interceptor?: string | undefined;
  /** @default the clock */
  now?: (() => Date) | undefined;
}

/** What one change did. */
export interface InstallResult {
  /** The plugin directory. */
  libdir: string;
  /** False if this was already installed. */
  changed: boolean;
  /** Our files that are there now. */
  files: string[];
  /** The variant that is there now, if it is one of ours. */
  variant?: string | undefined;
  /** Version of the plugin. */
  version?: string | undefined;
  /** What the change replaced or reinstalled, in words. */
  replaced?: string | undefined;
}

function pluginText(info: PluginInfo): string {
  if (info.kind === 'criu-cuda') return `criu-cuda ${info.variant ?? ''} ${info.version ?? ''}`;
  return "CRIU's own CUDA plugin";
}

function refuse(message: string, hint: string): ToolkitError {
  return new InstallError('ERR_INSTALL_REFUSED', message, { hint });
}

/** What will be installed: every file of the variant's directory. */
function readSource(source: string): { info: PluginInfo; files: FileTable } {
  const path = join(source, pluginFileName);
  if (fileFacts(path) === undefined) {
    throw new EnvironmentError('the plugin is not built', [{ what: path, remedy: 'criu-cuda build' }]);
  }
  const info = inspectPlugin(path);
  if (info.kind !== 'criu-cuda') throw refuse(`${path} is not our plugin`, 'criu-cuda build creates it');
  const names = readdirSync(source, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => entry.name);
  return { info, files: tableOf(source, names) };
}

/** Refuses a directory with another file that CRIU would load as a CUDA plugin. */
function refuseSecondPlugin(libdir: string): void {
  const second = inspectPluginDirectory(libdir).find(
    (info) => basename(info.path) !== pluginFileName && isCudaPlugin(info),
  );
  if (second) {
    throw refuse(
      `${second.path} is ${pluginText(second)} under another name; CRIU would load both`,
      'remove it, or choose another --libdir',
    );
  }
}

/** True for a file that we once installed or replaced: an installation may have been interrupted. */
function isKnown(manifest: Manifest, name: string, sha256: string): boolean {
  const tables = [manifest.current?.files ?? {}, ...manifest.history.map((entry) => entry.files)];
  return tables.some((table) => table[name]?.sha256 === sha256);
}

/** Refuses to replace files that neither we nor CRIU installed. */
function refuseForeign(libdir: string, files: FileTable, manifest: Manifest): void {
  for (const name of Object.keys(files)) {
    const path = join(libdir, name);
    const facts = fileFacts(path);
    if (facts === undefined || isKnown(manifest, name, facts.sha256)) continue;
    if (name === pluginFileName && isCudaPlugin(inspectPlugin(path))) continue;
    throw refuse(`${path} was not installed by criu-cuda`, 'move it away, or choose another --libdir');
  }
}

/** The files in the directory that would be replaced. */
function presentFiles(libdir: string, manifest: Manifest, wanted: FileTable): FileTable {
  const names = new Set([...Object.keys(manifest.current?.files ?? {}), ...Object.keys(wanted)]);
  return tableOf(libdir, [...names]);
}

function describePresent(libdir: string, present: FileTable): string {
  if (Object.keys(present).length === 0) return 'nothing';
  const path = join(libdir, pluginFileName);
  return fileFacts(path) === undefined ? 'helper programs only' : pluginText(inspectPlugin(path));
}

function nextId(history: readonly HistoryEntry[]): string {
  return String(history.reduce((highest, entry) => Math.max(highest, Number(entry.id)), 0) + 1);
}

/** Installs a built variant. @throws {@link ToolkitError} when a file that is not ours is in the way */
export async function installPlugin(options: InstallOptions): Promise<InstallResult> {
  const { libdir, source } = options;
  checkPath('libdir', libdir);
  checkPath('source', source);
  const { info, files } = readSource(source);
  const { interceptor } = options;
  const build = interceptor === undefined ? undefined : basename(interceptor);
  if (interceptor !== undefined && fileFacts(interceptor) === undefined) {
    throw new EnvironmentError('the interceptor is not built', [
      { what: interceptor, remedy: 'criu-cuda build' },
    ]);
  }
  const summary = {
    libdir,
    files: Object.keys(files),
    variant: info.variant ?? '',
    version: info.version ?? '',
  };
  return withLockedDirectory(libdir, async () => {
    const manifest = await readManifest(libdir);
    refuseSecondPlugin(libdir);
    refuseForeign(libdir, files, manifest);
    const present = presentFiles(libdir, manifest, files);
    if (manifest.current && sameFiles(present, files) && manifest.current.interceptor === build) {
      return { ...summary, changed: false };
    }

    const what = describePresent(libdir, present);
    const { current } = manifest;
    const wasOurs = current !== null && sameFiles(current.files, present);
    const entry: HistoryEntry = {
      id: nextId(manifest.history),
      what,
      installation: wasOurs
        ? {
            variant: current.variant,
            version: current.version,
            installedAt: current.installedAt,
            ...(current.interceptor === undefined ? {} : { interceptor: current.interceptor }),
          }
        : null,
      files: present,
    };
    const installedAt = (options.now ?? (() => new Date()))().toISOString();
    await keepFiles(libdir, present, join(libdir, backupDirName, entry.id));
    if (interceptor !== undefined) await addInterceptor(libdir, interceptor);
    // the manifest first: if this process is killed in between, the next run knows the copies and starts over
    await writeManifest(libdir, {
      schemaVersion: 1,
      current: {
        variant: summary.variant,
        version: summary.version,
        installedAt,
        ...(build === undefined ? {} : { interceptor: build }),
        files,
      },
      history: [...manifest.history, entry],
    });
    await changeFiles(libdir, present, source, files);
    return { ...summary, changed: true, replaced: what };
  });
}

/** Our files as they are now; refuses if they have changed since the installation. */
function checkUnchanged(libdir: string, manifest: Manifest): FileTable {
  const expected = manifest.current?.files ?? {};
  const present = tableOf(libdir, Object.keys(expected));
  const odd = Object.entries(present).find(([name, { sha256 }]) => !isKnown(manifest, name, sha256))?.[0];
  if (odd !== undefined) {
    throw refuse(
      `${join(libdir, odd)} is not what criu-cuda installed`,
      `to keep it, remove ${join(libdir, backupDirName)}, and criu-cuda forgets the installation`,
    );
  }
  return present;
}

function nothingInstalled(libdir: string): ToolkitError {
  return refuse(
    `criu-cuda has installed nothing in ${libdir}`,
    'see criu-cuda doctor for the plugin directories',
  );
}

function requireEntry(libdir: string, entry: HistoryEntry | undefined): HistoryEntry {
  if (entry) return entry;
  throw nothingInstalled(libdir);
}

/** Like {@link withLockedDirectory}, for a directory with an installation. */
async function withInstalledDirectory<T>(libdir: string, run: () => Promise<T>): Promise<T> {
  if (!existsSync(manifestPath(libdir))) throw nothingInstalled(libdir);
  return withLockedDirectory(libdir, run);
}

/** The backup copies, checked against their checksums. */
function checkKept(libdir: string, entry: HistoryEntry): string {
  const kept = join(libdir, backupDirName, entry.id);
  if (!sameFiles(tableOf(kept, Object.keys(entry.files)), entry.files)) {
    throw refuse(`the files kept in ${kept} are damaged`, 'install the plugin that you want');
  }
  return kept;
}

function resultOf(libdir: string, entry: HistoryEntry): InstallResult {
  const { installation } = entry;
  return {
    libdir,
    changed: true,
    files: installation === null ? [] : Object.keys(entry.files),
    replaced: entry.what,
    ...(installation === null ? {} : { variant: installation.variant, version: installation.version }),
  };
}

/** Reinstalls what the last installation replaced. */
export async function rollBackPlugin(options: { libdir: string }): Promise<InstallResult> {
  const { libdir } = options;
  return withInstalledDirectory(libdir, async () => {
    const manifest = await readManifest(libdir);
    const entry = requireEntry(libdir, manifest.history.at(-1));
    const present = checkUnchanged(libdir, manifest);
    const kept = checkKept(libdir, entry);
    await changeFiles(libdir, present, kept, entry.files);
    await selectInterceptor(libdir, entry.installation?.interceptor);
    await writeManifest(libdir, {
      schemaVersion: 1,
      current: entry.installation === null ? null : { ...entry.installation, files: entry.files },
      history: manifest.history.slice(0, -1),
    });
    await rm(kept, { recursive: true, force: true });
    return resultOf(libdir, entry);
  });
}

/** Returns the directory to its state before the first installation, and removes the backup copies. */
export async function uninstallPlugin(options: { libdir: string }): Promise<InstallResult> {
  const { libdir } = options;
  const result = await withInstalledDirectory(libdir, async () => {
    const manifest = await readManifest(libdir);
    const entry = requireEntry(libdir, manifest.history[0]);
    const present = checkUnchanged(libdir, manifest);
    await changeFiles(libdir, present, checkKept(libdir, entry), entry.files);
    return resultOf(libdir, entry);
  });
  await removeInterceptors(libdir);
  await rm(join(libdir, backupDirName), { recursive: true, force: true });
  return result;
}
