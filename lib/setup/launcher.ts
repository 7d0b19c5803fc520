// SPDX-License-Identifier: MIT
/**
 * The launcher: `criu-cuda` in PATH for a clone. The package that npm installs and the bundle have a program of their
 * own.
 * @module
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../errno.ts';
import type { Missing } from '../errors.ts';
import { findOnPath, type System } from '../machine/index.ts';
import { defaultBuildDir, programFile, projectRoot, starterOf } from '../paths.ts';
import { SetupError } from './error.ts';

/** What is at the launcher's path. */
export type LauncherState =
  /** It runs this clone. */
  | 'done'
  /** Nothing, or a launcher that setup wrote for another clone, or that an earlier version wrote. */
  | 'free'
  /** A file that setup did not write. */
  | 'foreign';

/** The launcher of this clone. */
export interface Launcher {
  /** Where it is or will be, as `/usr/local/bin/criu-cuda`. */
  path: string;
  /** What is there. */
  state: LauncherState;
  /** The program of another clone that it runs. */
  runs: string | undefined;
  /** Why a shell does not run it: the step that is missing. */
  missing: Missing | undefined;
}

const NAME = 'criu-cuda';
const mark = '# Written by criu-cuda setup; `criu-cuda setup --undo` removes it.';
const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Only a clone has the script that `npm run setup` runs. */
const isClone = (): boolean => existsSync(join(projectRoot, 'scripts', 'bootstrap.mjs'));

function launcherText(): string {
  const [node, program, start] = [process.execPath, programFile, starterOf(defaultBuildDir)].map(quote);
  return `#!/bin/sh
${mark}
case $1 in
restore | checkpoint) [ ! -x ${start} ] || exec ${start} ${node} ${program} "$@" ;;
esac
exec ${node} ${program} "$@"
`;
}

const launcherPath = ({ programDir }: System): string => join(programDir, NAME);

function stateOf(path: string): LauncherState {
  if (!existsSync(path)) return 'free';
  if (!statSync(path).isFile()) return 'foreign';
  const text = readFileSync(path, 'utf8');
  if (text === launcherText()) return 'done';
  return text.includes(`\n${mark}\n`) ? 'free' : 'foreign';
}

/** The program that a launcher of setup runs. */
function programOf(path: string): string | undefined {
  return existsSync(path) ? /^exec '.*' '(.*)' "\$@"$/m.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
}

function missingStep(system: System, path: string, state: LauncherState): Missing | undefined {
  const what = `${NAME} in PATH`;
  if (state === 'foreign')
    return { what, remedy: `${path} was not written by setup: remove it, then run setup` };
  if (state === 'free') return { what, remedy: `run \`npm run setup\` in ${projectRoot} as root` };
  const found = findOnPath(NAME, system.env.PATH);
  if (found === undefined) return { what, remedy: `add ${system.programDir} to PATH` };
  if (stateOf(found) === 'done') return undefined;
  return { what, remedy: `${found} comes before ${path}: remove it, or change PATH` };
}

/** Looks at the launcher. @returns `undefined` outside a clone */
export function readLauncher(system: System): Launcher | undefined {
  if (!isClone()) return undefined;
  const path = launcherPath(system);
  const state = stateOf(path);
  const program = programOf(path);
  const runs = state === 'free' && program !== programFile ? program : undefined;
  return { path, state, runs, missing: missingStep(system, path, state) };
}

/** Writes the launcher to a directory. @returns its path @throws {@link SetupError} it cannot be written */
export function writeLauncher(dir: string): string {
  const path = join(dir, NAME);
  try {
    mkdirSync(dir, { recursive: true });
    writeFileSync(`${path}.new`, launcherText(), { mode: 0o755 });
    chmodSync(`${path}.new`, 0o755); // whatever the umask
    renameSync(`${path}.new`, path);
  } catch (cause) {
    throw new SetupError('ERR_HOST', `cannot create ${path}: ${reasonOf(cause)}`, { cause });
  }
  return path;
}

/**
 * Removes the launcher of this clone.
 * @returns its path, or `undefined` if there is none
 * @throws {@link SetupError} the file was not written by setup in this clone, or cannot be removed
 */
export function removeLauncher(system: System): string | undefined {
  const path = launcherPath(system);
  if (!existsSync(path)) return undefined;
  // also as an earlier version wrote it
  if (stateOf(path) !== 'done' && !(stateOf(path) === 'free' && programOf(path) === programFile)) {
    throw new SetupError('ERR_HOST', `${path} is not removed: setup in ${projectRoot} did not write it`, {
      hint: `it runs ${programOf(path) ?? 'another program'}; remove it by hand if it is not needed`,
    });
  }
  try {
    rmSync(path);
  } catch (cause) {
    throw new SetupError('ERR_HOST', `cannot remove ${path}: ${reasonOf(cause)}`, {
      cause,
      hint: 'run as root',
    });
  }
  return path;
}
