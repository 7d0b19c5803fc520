// SPDX-License-Identifier: MIT
/**
 * Finds the CRIU to use: CRIU_CUDA_CRIU, otherwise the one on PATH, otherwise the one that setup built in the user's
 * cache. A CRIU is usable if it is new enough for the device hooks and its own `criu check` passes; that check starts
 * other programs and takes longer than a restore, so it runs in setup and doctor, and again where it has failed, unless
 * a different criu will do and nothing has changed.
 * @module
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EnvironmentError, ToolkitError } from '../errors.ts';
import { untrustedPart } from '../own-cache.ts';
import { circumstancesOf } from './circumstances.ts';
import { keep, recall, type Subject } from './facts.ts';
import { findOnPath, isExecutable } from './find-on-path.ts';
import { hostRemedy } from './host-obstacle.ts';
import { currentSystem, type System } from './system.ts';
import { compareVersions, oldestCriu } from './versions.ts';

/** CRIU_CUDA_CRIU, the search path, or the cache of `criu-cuda setup`. */
export type CriuOrigin = 'environment' | 'path' | 'cache';

/** A CRIU program that was found. */
export interface CriuCandidate {
  /** Absolute path, or as CRIU_CUDA_CRIU names it. */
  path: string;
  /** How it was found. */
  origin: CriuOrigin;
}

/** A CRIU that will do. */
export interface UsableCriu {
  /** It is new enough, and its own check passes. */
  usable: true;
}

/** A CRIU that will not do. */
export interface UnusableCriu {
  /** It is too old, or its own check fails. */
  usable: false;
  /** Why it will not do. */
  reason: string;
  /** What to do, when a different criu would not be used, or would fail as well. */
  remedy?: string | undefined;
}

/** A CRIU program and whether it will do. */
export type CriuInfo = CriuCandidate & {
  /** `undefined` if it does not report one. */
  version: string | undefined;
} & (UsableCriu | UnusableCriu);

/** What a search for CRIU found. */
export interface FoundCriu {
  /** The one to use. */
  criu: (CriuInfo & UsableCriu) | undefined;
  /** Those looked at before it (or all, when none will do), with the reason. */
  rejected: (CriuInfo & UnusableCriu)[];
}

const CHECK_TIMEOUT_MS = 30_000;

const chooseAnother = `set it to a criu of version ${oldestCriu} or newer that passes \`criu check\``;

/** File that marks a complete build in the cache. */
export const completeMarker = 'COMPLETE';

/** Complete CRIU builds in the cache, newest version first. */
export function cachedCriuDirs(cacheDir: string): string[] {
  if (!existsSync(cacheDir)) return [];
  return readdirSync(cacheDir)
    .filter((name) => /^criu-[\d.]+$/.test(name) && existsSync(join(cacheDir, name, completeMarker)))
    .sort((a, b) => compareVersions(b, a))
    .map((name) => join(cacheDir, name));
}

function candidates(system: System): CriuCandidate[] {
  const chosen = system.env.CRIU_CUDA_CRIU;
  // a named program is the only candidate
  if (chosen !== undefined && chosen !== '') return [{ path: chosen, origin: 'environment' }];
  const first = findOnPath('criu', system.env.PATH) ?? findOnPath('criu', system.sbinPath);
  return [
    ...(first === undefined ? [] : [{ path: first, origin: 'path' as const }]),
    ...cachedCriuDirs(system.cacheDir).map((dir) => ({ path: join(dir, 'criu'), origin: 'cache' as const })),
  ];
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

const isText = (value: unknown): value is string => typeof value === 'string';

/**
 * What a criu says about itself. With `again` it is asked, whatever it said before: a script that runs criu stays the same
 * when that criu is replaced.
 */
async function askVersion(
  system: System,
  path: string,
  again: boolean,
): Promise<{ version?: string; answer: string }> {
  const subject = { question: 'criu-version', programs: [resolve(path)] };
  const known = again ? undefined : recall(subject, isText, system.env);
  if (known !== undefined) return { version: known, answer: '' };
  const asked = await system.run(path, ['--version'], { timeoutMs: CHECK_TIMEOUT_MS });
  const answer = firstLine(asked.stderr || asked.stdout);
  const version = /Version:\s*(\S+)/.exec(asked.stdout)?.[1];
  if (version === undefined) return { answer };
  keep(subject, version, system.env);
  return { version, answer };
}

/** Another user could have put any program into the cache: with `sudo -E`, root has the cache of the caller. */
function distrust({ path, origin }: CriuCandidate): { reason: string; remedy: string } | undefined {
  const part = origin === 'cache' ? untrustedPart(realpathSync(path)) : undefined;
  if (part === undefined) return undefined;
  return {
    reason: `it is in the cache, and another user can change it: ${part}`,
    remedy: `name a criu with CRIU_CUDA_CRIU; or, if you trust what is in ${part}, make it yours and take the right to write from others (chown, chmod go-w)`,
  };
}

/** Whether a criu is checked: always, only if it has failed before, or not even then if nothing that is noticed has changed. */
type Checking = 'always' | 'if-failed' | 'if-changed';

/** Why `criu check` failed; empty when it passed. */
const checkOf = (path: string): Subject => ({
  question: 'criu-check',
  programs: [resolve(path)],
  circumstances: `user ${process.geteuid?.() ?? 0}`,
});

/** A check that has failed. */
interface FailedCheck {
  reason: string;
  /** See {@link circumstancesOf}. */
  circumstances: string;
}

function isCheck(value: unknown): value is '' | FailedCheck {
  const { reason, circumstances } = (value ?? {}) as Partial<FailedCheck>;
  return value === '' || (isText(reason) && isText(circumstances));
}

async function runCheck(system: System, path: string, checking: Checking): Promise<string> {
  const subject = checkOf(path);
  const known = checking === 'always' ? undefined : recall(subject, isCheck, system.env);
  if (checking !== 'always' && (known === undefined || known === '')) return '';
  const circumstances = await circumstancesOf(path);
  const isSame = known !== undefined && known !== '' && known.circumstances === circumstances;
  if (checking === 'if-changed' && isSame && circumstances !== '') return known.reason;
  const { exitCode, stdout, stderr } = await system.run(path, ['check'], { timeoutMs: CHECK_TIMEOUT_MS });
  const reason = exitCode === 0 ? '' : firstError(stderr || stdout) || `exit code ${exitCode}`;
  keep(subject, reason === '' ? '' : { reason, circumstances }, system.env);
  return reason;
}

/** Asks a criu program for its version and whether `criu check` passes. */
async function probeCriu(system: System, candidate: CriuCandidate, checking: Checking): Promise<CriuInfo> {
  const { path } = candidate;
  const refuse = (reason: string, version?: string): CriuInfo & UnusableCriu => ({
    ...candidate,
    version,
    usable: false,
    reason,
    ...(candidate.origin === 'environment' ? { remedy: `unset CRIU_CUDA_CRIU, or ${chooseAnother}` } : {}),
  });
  if (!isExecutable(path)) return refuse('there is no program at this path');
  const doubt = distrust(candidate);
  if (doubt) return { ...refuse(doubt.reason), remedy: doubt.remedy };
  try {
    const { version, answer } = await askVersion(system, path, checking === 'always');
    if (version === undefined) return refuse(`it does not report its version: ${answer}`);
    if (compareVersions(version, oldestCriu) < 0) {
      return refuse(`version ${version} is older than ${oldestCriu}`, version);
    }
    const reason = await runCheck(system, path, checking);
    return reason === ''
      ? { ...candidate, version, usable: true }
      : { ...refuse(`criu check fails: ${reason}`, version), ...remedyOf(reason) };
  } catch (error) {
    if (error instanceof ToolkitError && error.code !== 'ERR_INTERRUPTED') return refuse(error.message);
    throw error;
  }
}

function remedyOf(text: string): { remedy?: string } {
  const remedy = hostRemedy(text);
  return remedy === undefined ? {} : { remedy };
}

function firstError(text: string): string {
  return firstLine(text.split('\n').find((line) => line.includes('Error')) ?? text);
}

/** The error for a search that found none that will do. */
export function noCriuError(rejected: FoundCriu['rejected']): EnvironmentError {
  return new EnvironmentError('cannot find a usable criu', [
    ...rejected.map(({ path, reason, remedy }) => ({
      what: `${path}: ${reason}`,
      remedy: remedy ?? 'see docs/troubleshooting.md, section CRIU',
    })),
    ...(rejected.some(({ remedy }) => remedy !== undefined)
      ? []
      : [{ what: `criu, ${oldestCriu} or newer`, remedy: 'criu-cuda setup' }]),
  ]);
}

/** How thoroughly CRIU is looked for. */
export interface FindCriuOptions {
  /** Whether to run `criu check`; otherwise only where it failed the last time since boot. @default true */
  check?: boolean | undefined;
}

async function searchCriu(
  system: System,
  found: readonly CriuCandidate[],
  checking: Checking,
): Promise<FoundCriu> {
  const rejected: FoundCriu['rejected'] = [];
  for (const candidate of found) {
    const info = await probeCriu(system, candidate, checking);
    if (info.usable) return { criu: info, rejected };
    rejected.push(info);
  }
  return { criu: undefined, rejected };
}

/**
 * Finds the first usable CRIU. Builds nothing. A failure that is only remembered decides which of several is used, and never
 * that there is none: more may have changed than is noticed.
 */
export async function findCriu(
  system: System = currentSystem(),
  { check = true }: FindCriuOptions = {},
): Promise<FoundCriu> {
  const all = candidates(system);
  if (check) return searchCriu(system, all, 'always');
  const found = all.length > 1 ? await searchCriu(system, all, 'if-changed') : undefined;
  return found?.criu ? found : searchCriu(system, all, 'if-failed');
}
