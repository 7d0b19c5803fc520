// SPDX-License-Identifier: MIT
/**
 * Plugins: which are built, and what CRIU would load from each directory that it may search.
 * @module
 */
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { inspectPluginDirectory, inspectPlugin, isCudaPlugin, type PluginInfo } from '../inspect/index.ts';
import { compiledLibdir } from '../install/index.ts';
import { pluginDirectories } from '../paths.ts';
import { pluginVariants, variantPlugin } from '../variant.ts';
import { findOnPath } from '../machine/index.ts';
import { onMachine, readText, type MachineCheck, type CheckFunction, type Machine } from './check.ts';

/** Option files that CRIU or a container runtime reads; the one in HOME is added where they are used. */
const optionFiles = ['etc/criu/default.conf', 'etc/criu/runc.conf', 'etc/criu/crun.conf'];

/** `libdir DIR` or `libdir=DIR` lines. */
export function libdirsInOptions(text: string): string[] {
  const lines = text.matchAll(/^\s*(?:--)?libdir(?:\s*=\s*|\s+)(?:"([^"]*)"|([^\s#]+))/gm);
  return [...lines].map((match) => match[1] ?? match[2] ?? '');
}

interface Directory {
  path: string;
  /** Why it is a plugin directory. */
  reasons: string[];
}

async function directories(machine: Machine): Promise<{ all: Directory[]; used: string }> {
  const reasons = new Map<string, string[]>();
  const add = (path: string, reason: string): void => {
    const key = resolve(path);
    reasons.set(key, [...(reasons.get(key) ?? []), reason]);
  };
  const { env } = machine.system;
  const { criu } = machine.criu;
  const compiled = criu && (await compiledLibdir(machine.system, criu.path));
  if (env.CRIU_LIBS_DIR !== undefined && env.CRIU_LIBS_DIR !== '') add(env.CRIU_LIBS_DIR, 'CRIU_LIBS_DIR');
  if (compiled !== undefined) add(compiled, 'compiled into criu');
  const home = env.HOME === undefined ? [] : [`${env.HOME}/.criu/default.conf`];
  for (const file of [...optionFiles, ...home]) {
    for (const dir of libdirsInOptions(readText(machine, file) ?? ''))
      add(dir, `libdir in /${file.replace(/^\//, '')}`);
  }
  for (const dir of pluginDirectories) {
    if (existsSync(onMachine(machine, dir))) add(dir, 'default directory');
  }
  const all = [...reasons].map(([path, why]) => ({ path, reasons: why }));
  return { all, used: all[0]?.path ?? pluginDirectories[0] };
}

/**
 * Where the criu of an engine finds a CUDA plugin: `libdir` of its option files, or else the directory compiled into criu.
 * @returns `undefined` if there is none
 */
export async function enginePlugin(machine: Machine): Promise<string | undefined> {
  const configured = optionFiles.flatMap((file) => libdirsInOptions(readText(machine, file) ?? ''));
  const { criu } = machine.criu;
  const dir = configured[0] ?? (criu && (await compiledLibdir(machine.system, criu.path)));
  if (dir === undefined) return undefined;
  return inspectPluginDirectory(onMachine(machine, dir)).some(isCudaPlugin) ? dir : undefined;
}

function pluginText(info: PluginInfo): string {
  const name = basename(info.path);
  switch (info.kind) {
    case 'criu-cuda':
      return `${name}: criu-cuda, variant ${info.variant ?? ''} ${info.version ?? ''}`;
    case 'upstream-cuda':
      return `${name}: CRIU's own CUDA plugin`;
    case 'other':
      return `${name}: ${info.descriptor?.name ?? 'another plugin'}`;
    case 'not-a-plugin':
      return `${name}: not a plugin (${info.reason ?? ''})`;
  }
}

function checkDirectory(machine: Machine, dir: Directory, isUsed: boolean): MachineCheck {
  const plugins = inspectPluginDirectory(onMachine(machine, dir.path));
  const cuda = plugins.filter(isCudaPlugin);
  const foreign = plugins.filter((info) => info.kind === 'not-a-plugin');
  const contents = plugins.length === 0 ? 'no plugins' : plugins.map(pluginText).join('\n');
  const base = {
    id: `plugin-dir:${dir.path}`,
    title: `plugins in ${dir.path}`,
    found: `${contents} (${dir.reasons.join(', ')})`,
  };
  if (cuda.length > 1) {
    return {
      ...base,
      status: 'broken',
      remedy: 'CRIU would load all of them: keep one, then run criu-cuda install',
    };
  }
  if (foreign.length > 0) {
    return {
      ...base,
      status: 'broken',
      remedy: 'CRIU fails on a .so file that is not a plugin: move it elsewhere',
    };
  }
  if (cuda.length === 0 && isUsed) {
    return {
      ...base,
      status: 'warning',
      remedy:
        'criu and container engines find no CUDA plugin: run criu-cuda install (criu-cuda checkpoint uses the built one)',
    };
  }
  return { ...base, status: 'ok' };
}

function isInstalled(machine: Machine, dirs: readonly Directory[]): boolean {
  return dirs.some((dir) => inspectPluginDirectory(onMachine(machine, dir.path)).some(isCudaPlugin));
}

function checkBuilt(machine: Machine, installed: boolean): MachineCheck {
  const built = pluginVariants
    .map((variant) => variantPlugin(variant, machine.system.env))
    .filter((path) => existsSync(path))
    .map((path) => inspectPlugin(path));
  const base = { id: 'plugin-build', title: 'built plugins' };
  if (built.length > 0) {
    const names = built.map((info) => `${info.variant ?? 'unknown'} ${info.version ?? ''}`).join(', ');
    return { ...base, status: 'ok', found: names };
  }
  const compiler = findOnPath('cc', machine.system.env.PATH) && findOnPath('cmake', machine.system.env.PATH);
  const remedy = compiler
    ? 'criu-cuda build'
    : 'run criu-cuda setup for a compiler and cmake, then criu-cuda build; or install plugins built elsewhere';
  return { ...base, status: installed ? 'warning' : 'missing', found: 'none', remedy };
}

export const checkPlugins: CheckFunction = async (machine) => {
  const { all, used } = await directories(machine);
  return [
    checkBuilt(machine, isInstalled(machine, all)),
    ...all.map((dir) => checkDirectory(machine, dir, dir.path === used)),
  ];
};
