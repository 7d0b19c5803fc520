// SPDX-License-Identifier: MIT
/**
 * Kernel: checkpoint support, transparent huge pages, rights and limits.
 * @module
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { canDump, effectiveCapabilities } from '../machine/index.ts';
import {
  isThere,
  onMachine,
  readText,
  type MachineCheck,
  type CheckFunction,
  type Machine,
} from './check.ts';

function kernelConfig(machine: Machine, release: string): string | undefined {
  try {
    return gunzipSync(readFileSync(onMachine(machine, 'proc/config.gz'))).toString('utf8');
  } catch {
    return readText(machine, `boot/config-${release}`);
  }
}

/** `undefined` if it cannot be determined. */
function hasCheckpointRestore(machine: Machine, release: string): boolean | undefined {
  const config = kernelConfig(machine, release);
  if (config !== undefined) return /^CONFIG_CHECKPOINT_RESTORE=y$/m.test(config);
  // this file exists only with the option
  return isThere(machine, 'proc/sys/kernel/ns_last_pid') ? true : undefined;
}

export const checkKernel: CheckFunction = (machine) => {
  const release = readText(machine, 'proc/sys/kernel/osrelease') ?? 'unknown';
  const supported = hasCheckpointRestore(machine, release);
  const base = { id: 'kernel', title: 'kernel' };
  if (supported === true)
    return [{ ...base, status: 'ok', found: `${release}, CONFIG_CHECKPOINT_RESTORE=y` }];
  return [
    {
      ...base,
      status: supported === false ? 'missing' : 'warning',
      found: `${release}, CONFIG_CHECKPOINT_RESTORE ${supported === false ? 'is off' : 'unknown'}`,
      remedy: 'use a kernel built with CONFIG_CHECKPOINT_RESTORE=y; every current distribution has one',
    },
  ];
};

export const checkHugePages: CheckFunction = (machine) => {
  const text = readText(machine, 'sys/kernel/mm/transparent_hugepage/enabled');
  const mode = /\[(\w+)\]/.exec(text ?? '')?.[1];
  const base = { id: 'thp', title: 'transparent huge pages' };
  if (mode === 'always') return [{ ...base, status: 'ok', found: mode }];
  const remedy =
    "echo always > /sys/kernel/mm/transparent_hugepage/enabled makes the driver's own copies about 30 % faster";
  if (mode === undefined)
    return [{ ...base, status: 'warning', found: 'not supported by this kernel', remedy }];
  return [{ ...base, status: mode === 'never' ? 'warning' : 'ok', found: mode, remedy }];
};

function checkCapabilities(machine: Machine): MachineCheck {
  const have = effectiveCapabilities(readText(machine, 'proc/self/status') ?? '');
  const base = { id: 'capabilities', title: 'rights' };
  if (!canDump(have)) {
    return {
      ...base,
      status: 'missing',
      found: have.size === 0 ? 'none of the required capabilities' : [...have].join(', '),
      remedy: 'run as root, or with CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE',
    };
  }
  if (have.has('CAP_SYS_RESOURCE')) return { ...base, status: 'ok', found: [...have].join(', ') };
  return {
    ...base,
    status: 'warning',
    found: `${[...have].join(', ')}; no CAP_SYS_RESOURCE`,
    remedy:
      'processes of other users cannot be dumped, only your own, and a restore cannot raise limits: start containers with --ulimit nofile=… not above the limit of this machine',
  };
}

function checkPtrace(machine: Machine): MachineCheck {
  const scope = readText(machine, 'proc/sys/kernel/yama/ptrace_scope');
  const base = { id: 'ptrace', title: 'ptrace' };
  if (scope === '3') {
    return {
      ...base,
      status: 'broken',
      found: 'kernel.yama.ptrace_scope = 3: no process may trace another',
      remedy: 'set sysctl kernel.yama.ptrace_scope below 3 and reboot; it cannot be lowered at run time',
    };
  }
  return { ...base, status: 'ok', found: scope === undefined ? 'not restricted' : `ptrace_scope ${scope}` };
}

const LOW_OPEN_FILES = 1024;

function checkLimits(machine: Machine): MachineCheck {
  const limits = readText(machine, 'proc/self/limits') ?? '';
  const match = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits);
  const base = { id: 'limits', title: 'open files' };
  const hard = match?.[2] ?? 'unknown';
  const found = `${match?.[1] ?? 'unknown'}, at most ${hard}`;
  if (hard === 'unlimited' || Number(hard) >= LOW_OPEN_FILES) return { ...base, status: 'ok', found };
  return {
    ...base,
    status: 'warning',
    found,
    remedy: `raise it (ulimit -n ${LOW_OPEN_FILES}): a process with more open files cannot be restored`,
  };
}

export const checkRights: CheckFunction = (machine) => [
  checkCapabilities(machine),
  checkPtrace(machine),
  checkLimits(machine),
];
