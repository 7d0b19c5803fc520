// SPDX-License-Identifier: MIT
/**
 * Runs podman and reads the state of containers.
 * @module
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { CriuFlag, CriuFlags } from '../criu/index.ts';
import { CommandError, EnvironmentError, InterruptedError } from '../errors.ts';
import { exec, execResult, type ExecResult } from '../exec.ts';
import { currentSystem, findOnPath, sudoCommand } from '../machine/index.ts';
import { toItsEnd } from '../unfinished.ts';
import { ContainerError } from './error.ts';
import { checkName } from '../check.ts';

/** Checkpointing a large container to a slow disk takes long. */
export const PODMAN_TIMEOUT_MS = 3_600_000;

/** The flags of criu that podman passes on. */
export const podmanCriuFlags = ['tcpEstablished', 'fileLocks'] as const satisfies readonly CriuFlag[];
export type PodmanCriuFlags = Pick<CriuFlags, (typeof podmanCriuFlags)[number]>;

export interface PodmanOptions {
  /** Replaces PATH: podman and the runtime find criu there. */
  path?: string | undefined;
  signal?: AbortSignal | undefined;
  /**
   * Makes podman's work end early when the caller aborts; called until podman has ended. podman itself, killed in the
   * middle, leaves a container that runs and that it takes for another one: a second Ctrl-C waits for it, too.
   * @default podman is killed
   */
  endEarly?: (() => void) | undefined;
  /** Watches podman from its start; returns what ends that. */
  watch?: ((podmanPid: number) => () => void) | undefined;
}

const hiddenFromUser = (): string => `this user does not see the containers of root: ${sudoCommand()}`;

const isRoot = (): boolean => process.geteuid?.() === 0;

/**
 * podman dumps no containers of other users, and finds that out only then.
 * @throws {@link EnvironmentError} this user is not root
 */
export function checkRoot(what: string): void {
  if (isRoot()) return;
  throw new EnvironmentError(`${what} needs root: podman checkpoints only root's containers`, [
    { what: 'root', remedy: `run it as root: ${sudoCommand()}` },
  ]);
}

export function podmanProgram(): string {
  const { env, sbinPath } = currentSystem();
  const program = findOnPath('podman', env.PATH) ?? findOnPath('podman', sbinPath);
  if (program !== undefined) return program;
  throw new EnvironmentError('podman is not installed', [
    { what: 'podman and runc', remedy: 'criu-cuda container setup' },
  ]);
}

function execOptions({ path, signal }: PodmanOptions, onSpawn: (pid: number) => void) {
  return {
    timeoutMs: PODMAN_TIMEOUT_MS,
    ...(path === undefined ? {} : { env: { PATH: path } }),
    signal,
    onSpawn,
  };
}

/** How often the work of podman is ended, and how long podman has then. Milliseconds. */
const END_EARLY_MS = 50;
const END_MS = 60_000;

const whyWait = `podman is still ending its work, for which it has ${END_MS / 1000} s: killed now, it would lose track of the container`;

/** Calls `endEarly` from the abort on. @returns a signal that kills podman, and what to do when it has ended */
function endingEarly({ signal, endEarly }: PodmanOptions): {
  signal?: AbortSignal | undefined;
  stop: () => void;
} {
  if (!signal || !endEarly) return { signal, stop: () => undefined };
  signal.throwIfAborted();
  const kill = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const onAbort = (): void => {
    endEarly();
    timers.push(
      setInterval(endEarly, END_EARLY_MS),
      setTimeout(() => {
        kill.abort(signal.reason);
      }, END_MS),
    );
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    signal: kill.signal,
    stop: () => {
      signal.removeEventListener('abort', onAbort);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/** Runs podman. @throws {@link ContainerError} ERR_CONTAINER with the message of podman */
export async function podman(args: readonly string[], options: PodmanOptions = {}): Promise<ExecResult> {
  let stopWatching: (() => void) | undefined;
  const onSpawn = (pid: number): void => {
    stopWatching = options.watch?.(pid);
  };
  const { signal, stop } = endingEarly(options);
  try {
    const run = (): Promise<ExecResult> =>
      exec(podmanProgram(), args, execOptions({ ...options, signal }, onSpawn));
    return await (options.endEarly ? toItsEnd(whyWait, run) : run());
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    options.signal?.throwIfAborted(); // that is why
    throw new ContainerError('ERR_CONTAINER', `podman: ${error.facts.tail || error.message}`, {
      hint: isRoot() ? undefined : hiddenFromUser(),
      facts: error.facts,
      cause: error.cause,
    });
  } finally {
    stop();
    stopWatching?.();
  }
}

/** A container, as podman describes it. */
export interface ContainerInfo {
  /** 64 hexadecimal digits. */
  id: string;
  /** Name of the container. */
  name: string;
  /** Whether its first process runs. */
  isRunning: boolean;
  /** Of its first process, as seen from the host; 0 when it is not running. */
  pid: number;
  /** Labels by name. */
  labels: Readonly<Record<string, string>>;
  /** podman's directory for it: logs of criu, and the checkpoint. */
  dir: string;
  /** Where podman writes the images of a checkpoint. */
  checkpointDir: string;
}

const inspection = z
  .array(
    z.object({
      Id: z.string(),
      Name: z.string(),
      State: z.object({ Running: z.boolean(), Pid: z.int() }),
      Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }),
      StaticDir: z.string(),
    }),
  )
  .min(1);

/** @returns `undefined` when there is no such container */
export async function findContainer(name: string): Promise<ContainerInfo | undefined> {
  checkName('name', name);
  const answer = await execResult(podmanProgram(), ['container', 'inspect', name]);
  if (answer.exitCode !== 0) {
    if (/no such (container|object)/i.test(answer.stderr)) return undefined;
    throw new ContainerError('ERR_CONTAINER', `podman: ${answer.stderr.trim()}`);
  }
  const [found] = inspection.parse(JSON.parse(answer.stdout));
  if (!found) return undefined;
  return {
    id: found.Id,
    name: found.Name,
    isRunning: found.State.Running,
    pid: found.State.Pid,
    labels: found.Config.Labels ?? {},
    dir: found.StaticDir,
    checkpointDir: join(found.StaticDir, 'checkpoint'),
  };
}

/** Does something with a container; when it is interrupted, the error says whether the container runs. */
export async function sayingWhatRuns<T>(name: string, hint: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InterruptedError) || error.message.includes(name)) throw error;
    const found = await findContainer(name).catch(() => undefined);
    if (found?.isRunning !== true) throw error;
    throw new InterruptedError('ERR_INTERRUPTED', `${error.message}: ${name} runs`, { hint, cause: error });
  }
}

/** @throws {@link ContainerError} ERR_CONTAINER_STATE when there is none */
export async function requireContainer(name: string): Promise<ContainerInfo> {
  const found = await findContainer(name);
  if (found) return found;
  throw new ContainerError('ERR_CONTAINER_STATE', `there is no container ${name}`, {
    hint: isRoot() ? 'podman ps --all' : hiddenFromUser(),
  });
}

/** How long podman may be busy with a container that is being removed. */
const BUSY_MS = 10_000;
const BUSY_RETRY_MS = 200;

/**
 * podman unmounts the container's shared memory a second time, in the background, when a program has just ended; and a
 * criu that failed may still have the container's cgroups mounted.
 */
const isBusy = (error: unknown): boolean =>
  error instanceof ContainerError &&
  /device or resource busy|\.criu\.cgyard.*operation not permitted/.test(error.message);

/** Removes a container, running or not. */
export async function podmanRemove(id: string): Promise<void> {
  const end = performance.now() + BUSY_MS;
  for (;;) {
    try {
      await podman(['rm', '--force', '--ignore', '--time', '0', id]);
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > end) throw error;
      await delay(BUSY_RETRY_MS);
    }
  }
}
