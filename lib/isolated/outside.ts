// SPDX-License-Identifier: MIT
/**
 * Runs an operation inside namespaces: in new ones, or in those of an isolated tree. There, pids, files and ports are those
 * that the tree has, so that this program starts itself there and does what it does elsewhere.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { CommandError, describeError, EnvironmentError, ToolkitError } from '../errors.ts';
import { builtProgram, programFile, type Environment } from '../paths.ts';
import { sendSignal, waitForExit, type OnTransfer } from '../process/index.ts';
import { reviveError, type Reviver } from './errors.ts';
import { InsideReport } from './report.ts';
import { insideWord, readLines, TALK, type InsideAnswer, type InsideRequest } from './request.ts';

/** The descriptor on which criu-cuda-isolate reports. */
const REPORT = 4;

/** How long killed processes may take to end. */
const KILL_MS = 10_000;

/** What to run, and what is wanted of it. */
export interface InsideRun {
  operation: InsideRequest['operation'];
  /** Flags of criu-cuda-isolate. */
  flags: readonly string[];
  options: object;
  env?: Environment | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnTransfer | undefined;
  revivers: Readonly<Record<string, Reviver>>;
}

/** A result, and what criu-cuda-isolate tells later. */
export interface InsideResult<Result> {
  result: Result;
  report: InsideReport;
}

/**
 * For operations in another network: CRIU does not find the program's connection to a pool outside of it. The plugin starts
 * a pool of its own instead.
 */
export const withoutDaemon = { CRIU_CUDA_CONTEXT_POOL: '0' } as const;

function isolateProgram(): string {
  const path = builtProgram('criu-cuda-isolate');
  if (existsSync(path)) return path;
  throw new EnvironmentError('the program for isolated trees is not built', [
    { what: path, remedy: 'criu-cuda build' },
  ]);
}

function variables(env: Environment): NodeJS.ProcessEnv {
  const all = { ...process.env, ...env };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function start({ flags, env = {} }: InsideRun): ChildProcess {
  const words = [...flags, '--report', String(REPORT), '--', process.execPath, programFile, insideWord];
  return spawn(isolateProgram(), words, {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', 'pipe'],
    env: variables(env),
    detached: true,
  });
}

/** Only data goes through; the other side has its own directory. */
function requestOf({ operation, options, onProgress }: InsideRun): string {
  const request: InsideRequest = {
    operation,
    options: { ...options },
    wantsProgress: onProgress !== undefined,
  };
  return `${JSON.stringify(request)}\n`;
}

const failure = (program: string, reason: string): CommandError =>
  new CommandError('ERR_COMMAND_RUN', `cannot work in the namespaces: ${reason}`, {
    command: program,
    exitCode: undefined,
    signal: undefined,
    timedOut: false,
    durationMs: 0,
    tail: '',
  });

function abortReason(signal: AbortSignal): string {
  const reason: unknown = signal.reason;
  return reason instanceof ToolkitError ? reason.message : describeError(reason);
}

/** New namespaces of an operation that failed end with their first process. */
async function endNamespaces({ initPid }: InsideReport): Promise<void> {
  if (initPid === undefined || !sendSignal(initPid, 'SIGKILL')) return;
  await waitForExit(initPid, { timeoutMs: KILL_MS });
}

/**
 * Runs it to its end. When `signal` aborts, the other side stops as the same operation does here.
 * @throws what the operation throws
 */
export async function runInside<Result>(run: InsideRun): Promise<InsideResult<Result>> {
  const { signal, onProgress, revivers } = run;
  signal?.throwIfAborted();
  const child = start(run);
  const [talk, told] = [child.stdio[TALK] as Socket, child.stdio[REPORT] as Socket];
  const report = new InsideReport(told);
  const onAbort = (): void => {
    if (signal) talk.write(`${JSON.stringify({ abort: abortReason(signal) })}\n`);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const answer = await new Promise<InsideAnswer>((resolve, reject) => {
      child.once('error', reject);
      readLines(talk, (line) => {
        const one = JSON.parse(line) as InsideAnswer;
        if (one.progress) onProgress?.(one.progress);
        else resolve(one);
      });
      talk
        .on('error', () => undefined)
        .once('close', () => {
          reject(failure(child.spawnfile, report.failures.join('; ') || 'the program there has ended'));
        });
      talk.write(requestOf(run));
    });
    if (answer.error) throw reviveError(answer.error, revivers);
    return { result: answer.result as Result, report };
  } catch (error) {
    await endNamespaces(report);
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    talk.destroy();
    child.unref();
  }
}
