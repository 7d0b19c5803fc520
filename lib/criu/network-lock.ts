// SPDX-License-Identifier: MIT
/**
 * How criu keeps packets from TCP connections while it dumps them. Its default, iptables, does not run everywhere: in a
 * container without the program, or on a kernel without its tables.
 * @module
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { execResult } from '../exec.ts';
import { findOnPath, learned } from '../machine/index.ts';

/** Criu's names of the other methods. */
export type NetworkLock = 'nftables' | 'skip';

/** The method to use instead of criu's default, and why. */
export interface NetworkLockChoice {
  method: NetworkLock;
  /** One sentence. */
  warning: string;
}

const TIMEOUT_MS = 10_000;

async function works(file: string, args: readonly string[], signal?: AbortSignal): Promise<boolean> {
  try {
    return (await execResult(file, args, { timeoutMs: TIMEOUT_MS, signal })).exitCode === 0;
  } catch {
    signal?.throwIfAborted();
    return false; // there is no such program
  }
}

/** What criu needs for its default: both programs, and a table that can be read. */
const iptablesWorks = async (signal?: AbortSignal): Promise<boolean> =>
  (await works('iptables', ['-n', '-w', '-L'], signal)) &&
  (await works('iptables-restore', ['--version'], signal));

type Known = 'default' | 'nftables';
const isKnown = (value: unknown): value is Known => value === 'default' || value === 'nftables';

/** A network namespace has tables of its own. */
function networkNamespace(): string {
  try {
    return String(statSync('/proc/self/ns/net').ino);
  } catch {
    return 'unknown';
  }
}

/** What works here; that nothing does is not kept, because a module may be loaded at any time. */
function whatWorks(criu: string, signal?: AbortSignal): Promise<Known | undefined> {
  const tools = ['iptables', 'iptables-restore'];
  const subject = {
    question: 'network-lock',
    programs: [resolve(criu), ...tools.map((name) => findOnPath(name, process.env.PATH) ?? `/${name}`)],
    circumstances: `user ${process.geteuid?.() ?? 0}, namespace ${networkNamespace()}`,
  };
  return learned(subject, isKnown, async () => {
    if (await iptablesWorks(signal)) return 'default';
    return (await works(criu, ['check', '--feature', 'network_lock_nftables'], signal))
      ? 'nftables'
      : undefined;
  });
}

/**
 * Chooses by what works here.
 * @param criu the criu program
 * @param extraArgs the user's own arguments: if they choose, nothing is chosen here
 * @returns `undefined` for criu's default
 */
export async function chooseNetworkLock(
  criu: string,
  extraArgs: readonly string[] = [],
  signal?: AbortSignal,
): Promise<NetworkLockChoice | undefined> {
  if (extraArgs.some((word) => word.startsWith('--network-lock'))) return undefined;
  const known = await whatWorks(criu, signal);
  if (known === 'default') return undefined;
  if (known === 'nftables') {
    return {
      method: 'nftables',
      warning: 'iptables does not run here: TCP connections were locked with --network-lock nftables',
    };
  }
  return {
    method: 'skip',
    warning:
      'neither iptables nor nftables runs here: TCP connections were dumped with --network-lock skip; one may break if its peer sends meanwhile',
  };
}
