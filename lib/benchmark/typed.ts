// SPDX-License-Identifier: MIT
/**
 * Runs `criu-cuda` as a process, as a person does who types it, and tells how much of the time was the library's own.
 * @module
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { monotonicMs } from '../clock.ts';
import { EnvironmentError } from '../errors.ts';
import { execResult } from '../exec.ts';
import { defaultBuildDir, programFile, starterOf } from '../paths.ts';
import { BenchmarkError } from './error.ts';
import { phaseSchema } from './phase.ts';

/** An operation that was typed. Milliseconds; times of {@link monotonicMs}. */
export interface TypedOperation {
  /** Before the program was started. */
  typedAt: number;
  /** When the program called the library. */
  startedAt: number;
  /** From before the program's start to its end. */
  typedMs: number;
  /** As the library measured it. */
  durationMs: number;
  phases: z.infer<typeof phaseSchema>[];
  /** Of a checkpoint. */
  imageBytes: number;
  /** Of a checkpoint, a restore or a waking: the root of the tree. */
  pid: number;
}

const TIMEOUT_MS = 3_600_000;

const document = z.object({
  startedMs: z.number(),
  durationMs: z.number().nonnegative(),
  phases: z.array(phaseSchema).default([]),
  imageBytes: z.int().nonnegative().default(0),
  pid: z.int().positive(),
});
const failure = z.object({ error: z.object({ message: z.string(), hint: z.string().optional() }) });

/** What the program printed. */
function parse(stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

/** What a shell executes for `criu-cuda` with a checkpoint or a restore, in a clone or a bundle. */
function launcherWords(): [string, ...string[]] {
  const start = starterOf(defaultBuildDir);
  return existsSync(start) ? [start, process.execPath, programFile] : [process.execPath, programFile];
}

/**
 * Types `criu-cuda WORDS --json` and waits until it ends.
 * @param env added to the environment
 * @throws {@link BenchmarkError} with what the program said, when it failed
 */
export async function typeOperation(
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<TypedOperation> {
  if (!existsSync(programFile))
    throw new EnvironmentError('the program to measure is not built', [
      { what: programFile, remedy: 'npm run build:ts' },
    ]);
  const typedAt = monotonicMs();
  const [program, ...args] = [...launcherWords(), ...words, '--json'];
  const ended = await execResult(program, args, { env, signal, timeoutMs: TIMEOUT_MS });
  const typedMs = monotonicMs() - typedAt;
  const printed = parse(ended.stdout);
  const { data } = document.safeParse(printed);
  if (ended.exitCode === 0 && data) {
    const { startedMs: startedAt, ...operation } = data;
    return { ...operation, typedAt, startedAt, typedMs };
  }
  const { message, hint } = failure.safeParse(printed).data?.error ?? { message: ended.stderr };
  throw new BenchmarkError('ERR_BENCHMARK', `criu-cuda ${words[0] ?? ''} failed: ${message}`, { hint });
}
