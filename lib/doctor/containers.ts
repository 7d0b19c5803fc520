// SPDX-License-Identifier: MIT
/**
 * Container engines: only needed by who wants containers, so nothing here is missing.
 * @module
 */
import { findOnPath } from '../machine/index.ts';
import { ask, type MachineCheck, type Examination, type Patient } from './check.ts';

async function versionOf(patient: Patient, name: string): Promise<string | undefined> {
  const { env, sbinPath } = patient.system;
  const path = findOnPath(name, env.PATH) ?? findOnPath(name, sbinPath);
  if (path === undefined) return undefined;
  const answer = await ask(patient, path, ['--version']);
  return answer?.exitCode === 0 ? answer.stdout : undefined;
}

const firstVersion = (text: string): string => /\d+\.\d+[\w.+~-]*/.exec(text)?.[0] ?? 'unknown version';

function criuForRuntimes(patient: Patient): string | undefined {
  const { criu } = patient.criu;
  if (criu === undefined || criu.origin === 'path') return undefined;
  return `container runtimes start \`criu\` from PATH: criu-cuda setup --containers links ${criu.path} to /usr/local/sbin/criu`;
}

function examineRuntime(
  patient: Patient,
  name: 'runc' | 'crun',
  version: string | undefined,
): MachineCheck[] {
  if (version === undefined) return [];
  const base = { id: name, title: name, found: firstVersion(version) };
  if (name === 'crun' && !version.includes('+CRIU')) {
    return [
      {
        ...base,
        status: 'warning',
        found: `${base.found}, built without CRIU`,
        remedy: 'use runc for containers to be checkpointed: podman --runtime runc',
      },
    ];
  }
  const remedy = criuForRuntimes(patient);
  return [remedy === undefined ? { ...base, status: 'ok' } : { ...base, status: 'warning', remedy }];
}

export const examineContainers: Examination = async (patient) => {
  const [podman, runc, crun] = await Promise.all(
    ['podman', 'runc', 'crun'].map((name) => versionOf(patient, name)),
  );
  const base = { id: 'podman', title: 'podman' };
  if (podman === undefined) {
    return [
      { ...base, status: 'ok', found: 'not installed; only needed for containers' },
      ...examineRuntime(patient, 'runc', runc),
      ...examineRuntime(patient, 'crun', crun),
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
          remedy: 'criu-cuda setup --containers',
        },
    ...examineRuntime(patient, 'runc', runc),
    ...examineRuntime(patient, 'crun', crun),
  ];
};
