// SPDX-License-Identifier: MIT
/**
 * Container engines. They are optional, so nothing here is reported as missing.
 * @module
 */
import { findOnPath } from '../machine/index.ts';
import { ask, type MachineCheck, type CheckFunction, type Machine } from './check.ts';

async function versionOf(machine: Machine, name: string): Promise<string | undefined> {
  const { env, sbinPath } = machine.system;
  const path = findOnPath(name, env.PATH) ?? findOnPath(name, sbinPath);
  if (path === undefined) return undefined;
  const answer = await ask(machine, path, ['--version']);
  return answer?.exitCode === 0 ? answer.stdout : undefined;
}

const firstVersion = (text: string): string => /\d+\.\d+[\w.+~-]*/.exec(text)?.[0] ?? 'unknown version';

function criuForRuntimes(machine: Machine): string | undefined {
  const { criu } = machine.criu;
  if (criu === undefined || criu.origin === 'path') return undefined;
  return `container runtimes run \`criu\` from PATH: criu-cuda container setup makes /usr/local/sbin/criu a link to ${criu.path}`;
}

function checkRuntime(machine: Machine, name: 'runc' | 'crun', version: string | undefined): MachineCheck[] {
  if (version === undefined) return [];
  const base = { id: name, title: name, found: firstVersion(version) };
  if (name === 'crun' && !version.includes('+CRIU')) {
    return [
      {
        ...base,
        status: 'warning',
        found: `${base.found}, built without CRIU`,
        remedy: 'use runc for containers that you checkpoint: podman --runtime runc',
      },
    ];
  }
  const remedy = criuForRuntimes(machine);
  return [remedy === undefined ? { ...base, status: 'ok' } : { ...base, status: 'warning', remedy }];
}

export const checkContainers: CheckFunction = async (machine) => {
  const [podman, runc, crun] = await Promise.all(
    ['podman', 'runc', 'crun'].map((name) => versionOf(machine, name)),
  );
  const base = { id: 'podman', title: 'podman' };
  if (podman === undefined) {
    return [
      { ...base, status: 'ok', found: 'not installed; needed only for containers' },
      ...checkRuntime(machine, 'runc', runc),
      ...checkRuntime(machine, 'crun', crun),
    ];
  }
  const usable = runc !== undefined || crun?.includes('+CRIU') === true;
  return [
    usable
      ? { ...base, status: 'ok', found: firstVersion(podman) }
      : {
          ...base,
          status: 'warning',
          found: `${firstVersion(podman)}, no runtime that can checkpoint`,
          remedy: 'criu-cuda container setup',
        },
    ...checkRuntime(machine, 'runc', runc),
    ...checkRuntime(machine, 'crun', crun),
  ];
};
