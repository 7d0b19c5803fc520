// SPDX-License-Identifier: MIT
import type { Environment } from '../paths.ts';

/** Go 1.24 and newer listen with MPTCP, which CRIU cannot dump; a program that asks for it itself still gets it. */
const withoutMptcp = 'multipathtcp=0';

/** Variables for Go programs, added to what GODEBUG has; a value of `multipathtcp` there is kept. */
export function goEnvironment(env: Environment): Record<string, string> {
  const settings = (env.GODEBUG ?? '').split(',').filter((setting) => setting !== '');
  if (settings.some((setting) => setting.startsWith('multipathtcp='))) return {};
  return { GODEBUG: [...settings, withoutMptcp].join(',') };
}
