// SPDX-License-Identifier: MIT
/**
 * The machine as setup sees it; tests pass their own.
 * @module
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { execResult, type ExecOptions, type ExecResult } from '../exec.ts';
import { cacheDir, type Environment } from '../paths.ts';

/** The machine: what is read of it, and how programs are run on it. */
export interface System {
  /** The environment. */
  env: Environment;
  /** `ID` and `ID_LIKE` of os-release, e.g. `['debian']`. */
  family: readonly string[];
  /** `VERSION_CODENAME` of os-release, e.g. `bookworm`; empty when unknown. */
  codename: string;
  /** Whether this program may change the machine. */
  isRoot: boolean;
  /** More directories that may have criu, in the form of PATH. */
  sbinPath: string;
  /** The directory in PATH for programs that no package manager installs. */
  programDir: string;
  /** The configuration of apt. */
  aptDir: string;
  /** Where CRIU is built and kept. */
  cacheDir: string;
  /** Programs to run at a time in a build. */
  jobs: number;
  /** Stops what runs. */
  signal: AbortSignal | undefined;
  /** Runs a command until it exits; see lib/exec.ts. */
  run(file: string, args: readonly string[], options?: ExecOptions): Promise<ExecResult>;
}

/** Fields of an os-release file. */
export function parseOsRelease(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(\S*))/.exec(line);
    if (match?.[1] !== undefined) fields.set(match[1], match[2] ?? match[3] ?? match[4] ?? '');
  }
  return fields;
}

function readOsRelease(): string {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      continue;
    }
  }
  return '';
}

/** This machine. */
export function currentSystem(signal?: AbortSignal, env: Environment = process.env): System {
  const release = parseOsRelease(readOsRelease());
  return {
    env,
    family: `${release.get('ID') ?? ''} ${release.get('ID_LIKE') ?? ''}`.split(' ').filter((id) => id !== ''),
    codename: release.get('VERSION_CODENAME') ?? '',
    isRoot: process.geteuid?.() === 0,
    sbinPath: '/usr/local/sbin:/usr/sbin:/sbin',
    programDir: '/usr/local/bin',
    aptDir: '/etc/apt',
    cacheDir: cacheDir(env),
    jobs: availableParallelism(),
    signal,
    run: (file, args, options) => execResult(file, args, { ...options, signal: options?.signal ?? signal }),
  };
}
