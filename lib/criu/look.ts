// SPDX-License-Identifier: MIT
/**
 * The look at a process tree before its dump: runs `cuda-look`, which is next to the plugin and sees what the plugin
 * would see.
 * @module
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { exec } from '../exec.ts';
import { amount, whole } from '../number-shapes.ts';

/** The program that is next to each plugin of this project. */
export const lookProgram = 'cuda-look';

/** A look takes milliseconds, but opening the driver may wait for a device. */
const TIMEOUT_MS = 30_000;

const reasonShape = v.object({
  kind: v.string(),
  severity: v.picklist(['refuse', 'guess', 'warn']),
  pid: whole(0),
  text: v.string(),
  remedy: v.string(),
});

const lookShape = v.object({
  refused: v.boolean(),
  forced: v.boolean(),
  usesCuda: v.boolean(),
  deviceBytes: amount,
  mappings: whole(0),
  threads: whole(0),
  connections: whole(0),
  pids: v.array(whole(1)),
  reasons: v.array(reasonShape),
  ms: amount,
});

/** One thing that speaks against a dump. */
export interface Reason {
  /** Its name in docs/checks.md. */
  kind: string;
  /** `refuse`: not dumped; `guess`: not dumped, unless CRIU_CUDA_FORCE is 1; `warn`: dumped. */
  severity: 'refuse' | 'guess' | 'warn';
  /** The process. */
  pid: number;
  /** What is wrong, a sentence that begins with the pid. */
  text: string;
  /** What to do about it. */
  remedy: string;
}

/** What a look at a process tree found. */
export interface CheckResult {
  /** Whether a dump would be refused. */
  refused: boolean;
  /** Whether guesses were overridden. */
  forced: boolean;
  /** Whether a process of the tree uses CUDA; otherwise there are no reasons. */
  usesCuda: boolean;
  /** Device memory of the tree in bytes; 0 also if NVML does not tell. */
  deviceBytes: number;
  /** Mappings of all processes. */
  mappings: number;
  /** Threads of all processes. */
  threads: number;
  /** Established TCP connections. */
  connections: number;
  /** The tree, parents before children. */
  pids: number[];
  /** Everything that speaks against a dump. */
  reasons: Reason[];
  /** How long the look took, in milliseconds. */
  durationMs: number;
}

/** What to look at, and how. */
export interface LookOptions {
  /** The directory of the plugin. */
  libdir: string;
  /** Root of the process tree. */
  pid: number;
  /** Where the images are going to be; it need not exist. */
  imagesDir?: string | undefined;
  leaveRunning?: boolean | undefined;
  env?: Record<string, string | undefined> | undefined;
  signal?: AbortSignal | undefined;
}

/** A directory that does not exist yet gets its space from the one in which it is created. */
function existingDirectory(path: string): string {
  return existsSync(path) ? path : existingDirectory(dirname(path));
}

/**
 * Looks at a process tree.
 * @returns `undefined` when the plugin is another project's, without this program next to it
 * @throws `CommandError` the process has ended
 */
export async function lookAt(options: LookOptions): Promise<CheckResult | undefined> {
  const { libdir, pid, imagesDir, leaveRunning = false, env, signal } = options;
  const program = join(libdir, lookProgram);
  if (!existsSync(program)) return undefined;
  const args = [
    ...['--pid', String(pid)],
    ...(imagesDir === undefined ? [] : ['--images-dir', existingDirectory(imagesDir)]),
    ...(leaveRunning ? ['--leave-running'] : []),
  ];
  const { stdout } = await exec(program, args, { env, signal, timeoutMs: TIMEOUT_MS });
  const { ms, ...look } = v.parse(lookShape, JSON.parse(stdout));
  return { ...look, durationMs: ms };
}
