// SPDX-License-Identifier: MIT
/**
 * Fetches CRIU's upstream tarball from a newer Debian suite. It uses apt, so that the archive's signature is checked,
 * with lists in a private directory: the system's package lists and sources are not touched.
 * @module
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tailOf, type ExecResult } from '../exec.ts';
import type { ProgressListener } from '../progress.ts';
import { debianMirrors, readAptSources } from './apt-sources.ts';
import { compareVersions, oldestCriu, type System } from '../machine/index.ts';
import { SetupError } from './error.ts';

/** Suites that have a recent enough CRIU, in order of preference. */
export const sourceSuites = ['sid', 'trixie'] as const;

const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
];
const FETCH_TIMEOUT_MS = 10 * 60_000;

/** apt with its own lists, cache and sources below one directory. */
export interface PrivateApt {
  dir: string;
  options: readonly string[];
}

/** The source list for one suite. */
export function sourceStanza(uri: string, suite: string, keyring: string): string {
  return `Types: deb-src\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\nSigned-By: ${keyring}\n`;
}

async function createPrivateApt(dir: string, stanza: string): Promise<PrivateApt> {
  await mkdir(join(dir, 'lists', 'partial'), { recursive: true });
  await mkdir(join(dir, 'cache', 'archives', 'partial'), { recursive: true });
  const list = join(dir, 'debian.sources');
  await writeFile(list, stanza);
  const settings = {
    'Dir::Etc::sourcelist': list,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(dir, 'lists'),
    'Dir::Cache': join(dir, 'cache'),
    // apt's unprivileged user cannot read a private directory
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    // otherwise an unreachable archive is only a warning
    'APT::Update::Error-Mode': 'any',
  };
  return { dir, options: Object.entries(settings).map(([key, value]) => `--option=${key}=${value}`) };
}

async function runApt(
  system: System,
  apt: PrivateApt,
  tool: string,
  args: readonly string[],
  report?: ProgressListener,
): Promise<ExecResult> {
  const result = await system.run(tool, [...apt.options, ...args], {
    cwd: apt.dir,
    env: { LC_ALL: 'C' },
    timeoutMs: FETCH_TIMEOUT_MS,
    onLine: report,
  });
  if (result.exitCode !== 0) {
    const reason = tailOf(result.stderr || result.stdout, 6);
    throw new SetupError('ERR_SETUP_FETCH', `${tool} ${args.join(' ')} failed:\n${reason}`);
  }
  return result;
}

/** Source versions from the output of `apt-cache madison`, newest first, without those that are too old. */
export function parseMadison(text: string): string[] {
  const versions = text
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter(([name, , origin]) => name === 'criu' && origin?.endsWith('Sources') === true)
    .map(([, version = '']) => version)
    .filter((version) => compareVersions(version, oldestCriu) >= 0);
  return [...new Set(versions)].sort((a, b) => compareVersions(b, a));
}

/** An upstream tarball on this machine. */
export interface CriuSource {
  /** Upstream version, e.g. `4.2.1`. */
  version: string;
  tarball: string;
  suite: string;
}

/** Debian's version without epoch and revision: `1:4.2.1-1` → `4.2.1`. */
export function upstreamVersion(version: string): string {
  return version.replace(/^\d+:/, '').replace(/-[^-]*$/, '');
}

async function fetchFrom(
  system: System,
  uri: string,
  suite: string,
  dir: string,
  report: ProgressListener,
): Promise<CriuSource> {
  const keyring = KEYRINGS.find(existsSync);
  if (keyring === undefined) {
    throw new SetupError('ERR_SETUP_FETCH', 'package debian-archive-keyring is not installed');
  }
  const apt = await createPrivateApt(dir, sourceStanza(uri, suite, keyring));
  await runApt(system, apt, 'apt-get', ['update'], report);
  const madison = await runApt(system, apt, 'apt-cache', ['madison', 'criu']);
  const version = parseMadison(madison.stdout)[0];
  if (version === undefined) {
    throw new SetupError('ERR_SETUP_FETCH', `${suite} has no criu source of version ${oldestCriu} or newer`);
  }
  await runApt(
    system,
    apt,
    'apt-get',
    ['source', '--download-only', '--tar-only', `criu=${version}`],
    report,
  );
  const tarball = (await readdir(dir)).find((name) => /^criu_.*\.orig\.tar\.\w+$/.test(name));
  if (tarball === undefined) throw new SetupError('ERR_SETUP_FETCH', 'apt-get source left no tarball');
  return { version: upstreamVersion(version), tarball: join(dir, tarball), suite };
}

/** Addresses to try: every mirror of this machine. */
export function findMirrors(system: System): string[] {
  return debianMirrors(readAptSources(system.aptDir), system.codename);
}

/**
 * Downloads one suite's CRIU from the first mirror that has it.
 * @param dir an empty directory for apt's private files and the tarball
 * @throws {@link ToolkitError} the error of the last mirror
 */
export async function fetchCriuSource(
  system: System,
  suite: string,
  dir: string,
  report: ProgressListener,
): Promise<CriuSource> {
  let failure: unknown = new SetupError('ERR_SETUP_FETCH', "apt's source lists name no Debian archive");
  for (const [index, uri] of findMirrors(system).entries()) {
    try {
      return await fetchFrom(system, uri, suite, join(dir, `mirror-${index}`), report);
    } catch (error) {
      system.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}
