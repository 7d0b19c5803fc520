// SPDX-License-Identifier: MIT
/**
 * CRIU: which one, whether it will do, what it can.
 * @module
 */
import { compareVersions, oldestCriu } from '../machine/index.ts';
import { ask, type MachineCheck, type Examination, type Patient } from './check.ts';

const originText = { environment: 'named by CRIU_CUDA_CRIU', path: 'on PATH', cache: 'built by set-up' };

/** What a person misses without the feature. */
const features: Record<string, string> = {
  network_lock_nftables: 'dump TCP connections with --network-lock iptables or skip instead',
  pagemap_scan: 'finding changed pages is slower; Linux 6.7 or newer has it',
};

async function examineFeatures(patient: Patient, path: string): Promise<MachineCheck> {
  const answers = await Promise.all(
    Object.keys(features).map(async (name) => {
      const answer = await ask(patient, path, ['check', '--feature', name]);
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

export const examineCriu: Examination = async (patient) => {
  const { criu, rejected } = patient.criu;
  const base = { id: 'criu', title: 'CRIU' };
  if (criu === undefined) {
    const why = rejected.map((info) => `${info.path}: ${info.reason}`).join('; ');
    const tooOld = `version ${oldestCriu} or newer that passes \`criu check\``;
    return [
      {
        ...base,
        status: rejected.length === 0 ? 'missing' : 'broken',
        found: rejected.length === 0 ? 'not found' : why,
        remedy: rejected.some((info) => info.origin === 'environment')
          ? `unset CRIU_CUDA_CRIU or point it at ${tooOld}`
          : `criu-cuda setup builds one; or install ${tooOld}, or name it in CRIU_CUDA_CRIU`,
      },
    ];
  }
  const version = criu.version ?? '';
  const passed = rejected.map((info) => `; passed over ${info.path}: ${info.reason}`).join('');
  const found = `${version} at ${criu.path}, ${originText[criu.origin]}; ${hooksOf(version)}; criu check passes${passed}`;
  return [{ ...base, status: 'ok', found }, await examineFeatures(patient, criu.path)];
};
