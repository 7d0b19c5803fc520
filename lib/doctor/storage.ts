// SPDX-License-Identifier: MIT
/**
 * Files and directories: settings, run directory, image store.
 * @module
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileSystemRoom } from '../machine/index.ts';
import { settingKeys } from '../settings/index.ts';
import { formatBytes } from '../output.ts';
import { readText, type MachineCheck, type CheckFunction, type Machine } from './check.ts';

/** Our variables that are not settings of the plugin. */
const otherVariables = ['CRIU_CUDA_CONFIG', 'CRIU_CUDA_CRIU', 'CRIU_CUDA_BUILD_DIR'];

function unknownVariables(machine: Machine): string[] {
  const known = new Set<string>([...settingKeys, ...otherVariables]);
  return Object.keys(machine.system.env).filter((name) => name.startsWith('CRIU_CUDA_') && !known.has(name));
}

export const checkSettings: CheckFunction = (machine) => {
  const base = { id: 'settings', title: 'settings' };
  const { settings } = machine;
  if (settings instanceof Error) {
    return [
      { ...base, status: 'broken', found: settings.message, remedy: 'correct the value, or remove the line' },
    ];
  }
  const unknown = unknownVariables(machine);
  if (unknown.length > 0) {
    return [
      {
        ...base,
        status: 'warning',
        found: `unknown variables in the environment: ${unknown.join(', ')}`,
        remedy: 'criu-cuda config show lists the names',
      },
    ];
  }
  const changed = settingKeys.filter((key) => settings.origins[key].source !== 'default');
  const from = settings.fileExists ? settings.file : `no ${settings.file}`;
  const found =
    changed.length === 0 ? 'defaults' : changed.map((key) => `${key}=${settings.raw[key]}`).join(', ');
  return [{ ...base, status: 'ok', found: `${found} (${from})` }];
};

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The directory itself, or its nearest parent that exists. */
function nearestExisting(path: string): string {
  let current = resolve(path);
  while (!existsSync(current)) current = dirname(current);
  return current;
}

export const checkRunDir: CheckFunction = (machine) => {
  if (machine.settings instanceof Error) return [];
  const path = machine.settings.settings.CRIU_CUDA_RUN_DIR;
  const base = { id: 'run-dir', title: 'run directory' };
  if (!existsSync(path)) {
    const parent = dirname(resolve(path));
    if (existsSync(parent) && isWritable(parent))
      return [{ ...base, status: 'ok', found: `${path} will be created` }];
    return [
      {
        ...base,
        status: 'missing',
        found: `${path} does not exist and cannot be created`,
        remedy: `install -d -m 0700 ${path}, or set CRIU_CUDA_RUN_DIR`,
      },
    ];
  }
  const stat = statSync(path);
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
  const found = `${path}, mode ${mode}`;
  if (!stat.isDirectory() || !isWritable(path)) {
    return [
      {
        ...base,
        status: 'broken',
        found,
        remedy: `it must be a directory that this user can write: remove ${path}`,
      },
    ];
  }
  if ((stat.mode & 0o077) === 0) return [{ ...base, status: 'ok', found }];
  return [{ ...base, status: 'warning', found, remedy: `other users can read it: chmod 0700 ${path}` }];
};

interface Mount {
  point: string;
  type: string;
  options: string;
}

/** The mount that a path is on, from the text of mountinfo. */
export function findMount(mountinfo: string, path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , , rawPoint = '', mountOptions = ''] = left.split(' ');
    const [type = '', , superOptions = ''] = right.split(' ');
    const point = rawPoint.replaceAll(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    const isAbove = path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`);
    // of two mounts on the same path, the later one hides the earlier
    if (isAbove && point.length >= (best?.point.length ?? 0)) {
      best = { point, type, options: `${mountOptions},${superOptions}` };
    }
  }
  return best;
}

const LOW_SPACE = 2 ** 30;

function storeRemedy(mount: Mount | undefined, freeBytes: number): string | undefined {
  if (freeBytes < LOW_SPACE)
    return 'free some space: an image is as large as the memory of the process, including GPU memory';
  if (mount?.type !== 'tmpfs') return undefined;
  const huge = /(?:^|,)huge=(\w+)/.exec(mount.options)?.[1];
  if (huge === 'always' || huge === 'within_size') return undefined;
  return `mount -o remount,huge=always ${mount.point}: images are read and written faster in huge pages`;
}

export const checkImageStore: CheckFunction = (machine) => {
  if (machine.imagesDir === undefined) return [];
  const path = nearestExisting(machine.imagesDir);
  const { freeBytes } = fileSystemRoom(path);
  const mount = findMount(readText(machine, 'proc/self/mountinfo') ?? '', path);
  const huge = /(?:^|,)(huge=\w+)/.exec(mount?.options ?? '')?.[1];
  const kind = `${mount?.type ?? 'unknown file system'}${huge === undefined ? '' : ` (${huge})`}`;
  const base = {
    id: 'image-store',
    title: 'image store',
    found: `${machine.imagesDir}${existsSync(machine.imagesDir) ? '' : ' (does not exist yet)'}: ${kind}, ${formatBytes(freeBytes)} free`,
  };
  const check = (status: MachineCheck['status'], remedy?: string): MachineCheck[] => [
    { ...base, status, remedy },
  ];
  if (!isWritable(path)) return check('broken', `this user cannot write ${path}`);
  const remedy = storeRemedy(mount, freeBytes);
  return remedy === undefined ? check('ok') : check('warning', remedy);
};
