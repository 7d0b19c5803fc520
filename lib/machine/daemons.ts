// SPDX-License-Identifier: MIT
/**
 * The daemons of container engines: criu is started by them, with their environment, and not with that of the caller.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOnPath } from './find-on-path.ts';
import type { System } from './system.ts';

/** Daemons that checkpoint with runc and criu. */
export const daemonNames = ['dockerd', 'containerd'] as const;

/** Name of a daemon's program. */
export type DaemonName = (typeof daemonNames)[number];

/** A daemon that is installed or runs. */
export interface EngineDaemon {
  /** Its program. */
  name: DaemonName;
  /** Of the one that runs; of several, the oldest. */
  pid: number | undefined;
  /** Where it looks for criu and runc; of one that does not run, where systemd would have it look. */
  path: string;
  /** Its plugin directory from CRIU_LIBS_DIR, which only a running one tells. */
  libsDir: string | undefined;
  /** Whether it has Docker's experimental features, without which `docker checkpoint` does not exist. */
  isExperimental: boolean;
}

/** What systemd gives to services. */
const servicePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Docker's settings. */
export const dockerConfig = '/etc/docker/daemon.json';

function readWords(path: string): string[] | undefined {
  try {
    return readFileSync(path, 'utf8').split('\0');
  } catch {
    return undefined;
  }
}

function pidOf(root: string, name: string): number | undefined {
  let names: string[] = [];
  try {
    names = readdirSync(join(root, 'proc'));
  } catch {
    return undefined;
  }
  const pids = names.filter((one) => /^\d+$/.test(one)).map(Number);
  return pids
    .sort((a, b) => a - b)
    .find((pid) => readWords(join(root, 'proc', String(pid), 'comm'))?.[0]?.trimEnd() === name);
}

/** Whether the settings of Docker turn experimental features on. */
export function hasExperimental(text: string | undefined): boolean {
  try {
    const settings: unknown = JSON.parse(text ?? '{}');
    return (
      typeof settings === 'object' &&
      settings !== null &&
      'experimental' in settings &&
      settings.experimental === true
    );
  } catch {
    return false;
  }
}

/**
 * The daemons of this machine. What another user's daemon has in its environment is not known; it is then taken to be as
 * systemd makes it.
 * @param root directory with `proc` and `etc`: `/`, except in tests
 */
export function engineDaemons(system: System, root = '/'): EngineDaemon[] {
  const found = (name: string): boolean =>
    (findOnPath(name, system.env.PATH) ?? findOnPath(name, system.sbinPath)) !== undefined;
  return daemonNames.flatMap((name): EngineDaemon[] => {
    const pid = pidOf(root, name);
    if (pid === undefined && !found(name)) return [];
    const process = join(root, 'proc', String(pid));
    const env = readWords(join(process, 'environ')) ?? [];
    const value = (key: string): string | undefined =>
      env.find((one) => one.startsWith(`${key}=`))?.slice(key.length + 1);
    const words = readWords(join(process, 'cmdline')) ?? [];
    return [
      {
        name,
        pid,
        path: value('PATH') ?? servicePath,
        libsDir: value('CRIU_LIBS_DIR'),
        isExperimental:
          words.some((word) => /^--experimental(=true)?$/.test(word)) ||
          hasExperimental(readWords(join(root, dockerConfig))?.join('')),
      },
    ];
  });
}
