// SPDX-License-Identifier: MIT
/**
 * Identifies a CRIU plugin from its file: the descriptor that CRIU reads, and our own identification. The plugin is
 * not executed.
 * @module
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno, reasonOf } from '../errno.ts';
import { ToolkitError } from '../errors.ts';
import { parseElf, type ElfFile, type ElfSymbol } from './elf.ts';
import { InspectError } from './error.ts';
import { checkPath } from '../check.ts';

/** CRIU's hooks by number: plugin interface 0.2, CRIU 4.0 to 4.2; the last two are newer. */
export const hookNames = [
  'DUMP_UNIX_SK',
  'RESTORE_UNIX_SK',
  'DUMP_EXT_FILE',
  'RESTORE_EXT_FILE',
  'DUMP_EXT_MOUNT',
  'RESTORE_EXT_MOUNT',
  'DUMP_EXT_LINK',
  'HANDLE_DEVICE_VMA',
  'UPDATE_VMA_MAP',
  'RESUME_DEVICES_LATE',
  'PAUSE_DEVICES',
  'CHECKPOINT_DEVICES',
  'POST_FORKING',
] as const;

/** Whose plugin a file is, if it is one. */
export type PluginKind =
  /** Made by this project. */
  | 'criu-cuda'
  /** CRIU's own CUDA plugin. */
  | 'upstream-cuda'
  /** A CRIU plugin for something else. */
  | 'other'
  /** Not a CRIU plugin. */
  | 'not-a-plugin';

/** What a plugin tells CRIU about itself. */
export interface PluginDescriptor {
  /** The name that goes into the inventory image. */
  name: string;
  /** Version of the plugin interface, such as `0.2.0`. */
  interfaceVersion: string;
  /** As many as it knows of. */
  maxHooks: number;
  /** Names of the hooks that it has. */
  hooks: string[];
  /**
   * `descriptor`: the hooks are in the file. `names`: constructors register them at load time, so they are inferred
   * from function names.
   */
  hooksFrom: 'descriptor' | 'names';
}

/** What a file turned out to be. */
export interface PluginInfo {
  /** As it was given. */
  path: string;
  /** What the file is. */
  kind: PluginKind;
  /** Size of the file. */
  sizeBytes: number;
  /** Of the whole file, hexadecimal. */
  sha256: string;
  /** Architecture. */
  machine?: string | undefined;
  /** GNU build id, hexadecimal. */
  buildId?: string | undefined;
  /** Libraries it needs. */
  needed?: string[] | undefined;
  /** What it tells CRIU; only of plugins. */
  descriptor?: PluginDescriptor | undefined;
  /** Only for our own plugins. */
  version?: string | undefined;
  /** Only of this project's plugins. */
  variant?: string | undefined;
  /** Why it is not a plugin. */
  reason?: string | undefined;
}

const DESCRIPTOR = 'CR_PLUGIN_DESC';
const IDENTITY = 'ccr_plugin_info';
const POINTER = 8;
/** Offsets in CRIU's descriptor: name, init, exit, version, max_hooks, hooks. */
const offsets = { name: 0, version: 24, maxHooks: 28, hooks: 32 } as const;
const MOST_HOOKS = 64;

function findSymbol(elf: ElfFile, name: string): ElfSymbol | undefined {
  return elf.dynamicSymbols.find((symbol) => symbol.name === name && symbol.isDefined);
}

function hooksInDescriptor(elf: ElfFile, at: number, count: number): string[] {
  const hooks: string[] = [];
  for (let index = 0; index < count; index++) {
    const target = elf.readPointer(at + offsets.hooks + index * POINTER);
    if (target !== undefined) hooks.push(hookNames[index] ?? `hook ${index}`);
  }
  return hooks;
}

function hooksFromNames(elf: ElfFile): string[] {
  const functions = [...elf.dynamicSymbols, ...elf.allSymbols].filter(
    (symbol) => symbol.isDefined && symbol.isFunction,
  );
  return hookNames.filter((hook) => functions.some(({ name }) => name.endsWith(`_${hook.toLowerCase()}`)));
}

function readDescriptor(elf: ElfFile, symbol: ElfSymbol): PluginDescriptor {
  const name = elf.readPointer(symbol.address + offsets.name);
  const version = elf.readUint32(symbol.address + offsets.version);
  const maxHooks = elf.readUint32(symbol.address + offsets.maxHooks);
  if (maxHooks > MOST_HOOKS) {
    throw new InspectError('ERR_INSPECT_ELF', `its descriptor claims ${maxHooks} hooks`);
  }
  const hooks = hooksInDescriptor(elf, symbol.address, maxHooks);
  return {
    name: typeof name === 'number' ? elf.readString(name) : '',
    interfaceVersion: `${version >>> 16}.${(version >>> 8) & 255}.${version & 255}`,
    maxHooks,
    hooks: hooks.length > 0 ? hooks : hooksFromNames(elf),
    hooksFrom: hooks.length > 0 ? 'descriptor' : 'names',
  };
}

function readIdentity(elf: ElfFile): { version: string; variant: string } | undefined {
  const symbol = findSymbol(elf, IDENTITY);
  if (symbol === undefined) return undefined;
  const match = /^ccr-plugin: version=(\S+) variant=(\S+)/.exec(elf.readString(symbol.address));
  return match?.[1] === undefined || match[2] === undefined
    ? undefined
    : { version: match[1], variant: match[2] };
}

function describe(elf: ElfFile): Omit<PluginInfo, 'path' | 'sizeBytes' | 'sha256'> {
  const common = {
    machine: elf.machine,
    needed: elf.needed,
    buildId: elf.buildId,
  };
  const symbol = findSymbol(elf, DESCRIPTOR);
  if (symbol === undefined) {
    return { ...common, kind: 'not-a-plugin', reason: `it exports no ${DESCRIPTOR}` };
  }
  const descriptor = readDescriptor(elf, symbol);
  const identity = readIdentity(elf);
  if (identity) return { ...common, kind: 'criu-cuda', descriptor, ...identity };
  return { ...common, kind: descriptor.name === 'cuda_plugin' ? 'upstream-cuda' : 'other', descriptor };
}

/**
 * @throws {@link ToolkitError} when the file cannot be read; the `kind` of the result tells whether it is a plugin
 */
export function inspectPlugin(path: string): PluginInfo {
  let data: Buffer;
  try {
    data = readFileSync(path);
  } catch (error) {
    throw new InspectError('ERR_INSPECT_READ', `cannot read ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const file = {
    path,
    sizeBytes: data.length,
    sha256: createHash('sha256').update(data).digest('hex'),
  };
  try {
    return { ...file, ...describe(parseElf(data)) };
  } catch (error) {
    if (!(error instanceof ToolkitError)) throw error;
    return { ...file, kind: 'not-a-plugin', reason: error.message };
  }
}

/** True for CUDA plugins, both ours and CRIU's own. */
export function isCudaPlugin(info: Pick<PluginInfo, 'kind'>): boolean {
  return info.kind === 'criu-cuda' || info.kind === 'upstream-cuda';
}

/**
 * The files in a directory that CRIU would load, sorted by name.
 * @returns an empty list if the directory does not exist
 */
export function listPlugins(dir: string): string[] {
  checkPath('dir', dir);
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) {
      return [];
    }
    throw new InspectError('ERR_INSPECT_READ', `cannot read ${dir}`, { cause: error });
  }
  return names
    .filter((name) => name.endsWith('.so'))
    .sort()
    .map((name) => join(dir, name));
}

/** Everything in a directory that CRIU would load */
export const inspectPluginDirectory = (dir: string): PluginInfo[] =>
  listPlugins(dir).map((path) => inspectPlugin(path));
