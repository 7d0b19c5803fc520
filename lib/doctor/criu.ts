// SPDX-License-Identifier: MIT
/**
 * CRIU: which one is used, whether it is usable, and what it supports.
 * @module
 */
import { compareVersions, oldestCriu } from '../machine/index.ts';
import { ask, type MachineCheck, type CheckFunction, type Machine } from './check.ts';

const originText = { environment: 'named by CRIU_CUDA_CRIU', path: 'on PATH', cache: 'built by setup' };

/** What is missing without the feature. */
const features: Record<string, string> = {
  network_lock_nftables: 'dump TCP connections with --network-lock iptables or skip instead',
  pagemap_scan: 'finding changed pages is slower; Linux 6.7 or newer has it',
};

async function checkFeatures(machine: Machine, path: string): Promise<MachineCheck> {
  const answers = await Promise.all(
    Object.keys(features).map(async (name) => {
      const answer = await ask(machine, path, ['check', '--feature', name]);
      return { name, has: answer?.exitCode === 0 };
    }),
  );
  const lacking = answers.filter(({ has }) => !has);
  const base = { id: 'criu-features', title: 'CRIU features' };
  const found = answers.map(({ name, has }) => `${name} ${has ? 'yes' : 'no'}`).join(', ');
  if (lacking.length === 0) return { ...base, status: 'ok', found };
  return {
    ...base,
    status: 'warning',
    found,
    remedy: lacking.map(({ name }) => `${name}: ${features[name] ?? ''}`).join('; '),
  };
}

function hooksOf(version: string): string {
  return compareVersions(version, '4.2') >= 0 ? 'device hooks and POST_FORKING' : 'device hooks';
}

export const checkCriu: CheckFunction = async (machine) => {
  const { criu, rejected } = machine.criu;
  const base = { id: 'criu', title: 'CRIU' };
  if (criu === undefined) {
    const why = rejected.map((info) => `${info.path}: ${info.reason}`).join('; ');
    const required = `version ${oldestCriu} or newer that passes \`criu check\``;
    return [
      {
        ...base,
        status: rejected.length === 0 ? 'missing' : 'broken',
        found: rejected.length === 0 ? 'not found' : why,
        remedy:
          rejected.find(({ remedy }) => remedy !== undefined)?.remedy ??
          `run criu-cuda setup to build one, or install a criu of ${required}, or name it in CRIU_CUDA_CRIU`,
      },
    ];
  }
  const version = criu.version ?? '';
  const passed = rejected.map((info) => `; skipped ${info.path}: ${info.reason}`).join('');
  const found = `${version} at ${criu.path}, ${originText[criu.origin]}; ${hooksOf(version)}; criu check passes${passed}`;
  return [{ ...base, status: 'ok', found }, await checkFeatures(machine, criu.path)];
};
