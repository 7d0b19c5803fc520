// SPDX-License-Identifier: MIT
/**
 * Which process tree a pid names, and whether it can be the target of a checkpoint at all.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { checkMaySuspendFilters, isFiltered } from '../criu/index.ts';
import {
  checkNoThread,
  checkPid,
  helpsRestore,
  isAlive,
  MOST_OF_WORDS,
  parseContainer,
  readBeginning,
  readChildren,
  readProcessTree,
  readStat,
  usesOuterTerminal,
  type Container,
} from '../process/index.ts';
import { EnvironmentError } from '../errors.ts';
import { findGeneration } from '../kept/index.ts';
import { findIsolatedTree, isFirstProcess } from '../isolated/index.ts';
import { effectiveCapabilities } from '../machine/index.ts';
import { CheckpointError } from './error.ts';

/** The tree that is dumped. */
export interface Target {
  /** Its root. */
  pid: number;
  /** The pid of the `criu-cuda run` or `criu-cuda restore` that was named, which waits for the root. */
  runPid: number | undefined;
  /** Whether it belongs to a session, or uses a terminal, that is not dumped with it. */
  shellJob: boolean;
  /** Pids of the tree, root first; more may come until it is stopped. A server's take milliseconds to find. */
  pids: number[];
}

export function refuse(code: CheckpointError['code'], message: string, hint: string): never {
  throw new CheckpointError(code, message, { hint });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended, or belongs to another user
  }
}

/** Which command of ours the process is, of those that wait for a program: `criu-cuda run`. */
function waitingCommand(pid: number): string | undefined {
  if (readStat(pid)?.comm === 'criu-cuda-run') return 'criu-cuda run';
  const [node = '', program = '', ...words] = readBeginning(`/proc/${pid}/cmdline`, MOST_OF_WORDS).split(
    '\0',
  );
  if (basename(node) !== 'node' || !/(?:^|\/)(?:criu-cuda|cli\.[cm]?js)$/.test(program)) return undefined;
  const [first = '', second = ''] = words.filter((word) => !word.startsWith('-'));
  if (first === 'run' || first === 'restore') return `criu-cuda ${first}`;
  return first === 'golden' && second === 'restore' ? 'criu-cuda golden restore' : undefined;
}

/** The processes of which another one holds a pidfd, as it does while it waits for their end. */
function heldProcesses(pid: number): Set<number> {
  const dir = `/proc/${pid}/fdinfo`;
  let names: string[] = [];
  try {
    names = readdirSync(dir);
  } catch {
    // it has ended, or belongs to another user
  }
  return new Set(names.map((name) => Number(/^Pid:\t(\d+)$/m.exec(readText(join(dir, name)))?.[1] ?? 0)));
}

/**
 * What such a command waits for. A shell that has executed it may have left it other children, such as a sidecar with a
 * session of its own.
 */
function waitedFor(pid: number, isRun: boolean): number | undefined {
  const children = readChildren(pid).filter((child) => !helpsRestore(child));
  const held = heldProcesses(pid);
  const isStarted = (child: number): boolean => findGeneration(child)?.path.endsWith(`-${child}`) === true;
  const guessed = (): number | undefined =>
    children.find((child) => readStat(child)?.session === child) ?? children[0];
  const found = isRun
    ? (children.find(isStarted) ?? guessed())
    : (children.find((child) => held.has(child)) ?? children.find(isFirstProcess));
  // the first process of its namespaces is there before the program
  return found !== undefined && isFirstProcess(found) && !findIsolatedTree(found) ? undefined : found;
}

/** The program that a `criu-cuda run` or `criu-cuda restore` waits for; for any other process, itself. */
export function programOf(pid: number): number {
  const command = waitingCommand(pid);
  if (command === undefined) return pid;
  const isRun = command.endsWith('run');
  return (
    waitedFor(pid, isRun) ??
    refuse(
      'ERR_CHECKPOINT_NO_PROCESS',
      `${pid} is ${command}, which has not ${isRun ? 'started' : 'restored'} its program yet`,
      'try again when the program runs',
    )
  );
}

const containerOf = (pid: number | 'self'): Container | null =>
  parseContainer(readText(`/proc/${pid}/cgroup`));

/** A container is checkpointed as a whole, by its engine; this program may itself be in one. */
function refuseContained(pid: number): void {
  const container = containerOf(pid);
  if (container === null || container.id === containerOf('self')?.id) return;
  const { engine, id } = container;
  const short = id.slice(0, 12);
  refuse(
    'ERR_CHECKPOINT_CONTAINER',
    `${pid} is in a container of ${engine} (${short}), which is checkpointed as a whole`,
    engine === 'podman'
      ? `criu-cuda container checkpoint ${short} (it ends the container; --leave-running does not)`
      : 'criu-cuda checkpoints containers of podman: see docs/containers.md',
  );
}

/**
 * Finds the tree that `pid` names: its own, or that of the program that a `criu-cuda run` or
 * `criu-cuda restore` of this pid waits for.
 * @throws {@link CheckpointError} the tree cannot be checkpointed from here
 * @throws `UsageError` the pid is that of a thread
 */
export function findTarget(named: number): Target {
  checkPid(named);
  checkNoThread(named);
  const stat = readStat(named);
  if (!stat || !isAlive(named)) {
    const zombie = stat ? ': it has ended, and its parent has not collected it' : '';
    refuse(
      'ERR_CHECKPOINT_NO_PROCESS',
      `there is no process ${named}${zombie}`,
      'criu-cuda process list shows the CUDA processes',
    );
  }
  const pid = programOf(named);
  const pids = readProcessTree(pid).map((one) => one.pid);
  if (pids.includes(process.pid)) {
    refuse(
      'ERR_CHECKPOINT_OWN_TREE',
      `${pid} is this program or started it`,
      'start the checkpoint from another session',
    );
  }
  refuseContained(pid);
  const shellJob = readStat(pid)?.session !== pid || usesOuterTerminal(pids);
  return { pid, runPid: pid === named ? undefined : named, shellJob, pids };
}

/** Whether all user ids, or all group ids, of a process are this one: real, effective and saved. */
function hasOnly(status: string, name: 'Uid' | 'Gid', id: number | undefined): boolean {
  const line = new RegExp(`^${name}:\\s*(\\d+)\\s+(\\d+)\\s+(\\d+)`, 'm').exec(status);
  return line === null || line.slice(1).every((one) => Number(one) === id);
}

/** Whether the kernel lets criu read the limits of a process: of another user's, only with CAP_SYS_RESOURCE. */
function mayReadLimits(pid: number): boolean {
  const status = readText(`/proc/${pid}/status`);
  const isOwn = hasOnly(status, 'Uid', process.getuid?.()) && hasOnly(status, 'Gid', process.getgid?.());
  return isOwn || !sharesUserNamespace(pid);
}

function sharesUserNamespace(pid: number): boolean {
  const of = (one: number | 'self'): string => readlinkSync(`/proc/${one}/ns/user`);
  try {
    return of(pid) === of('self');
  } catch {
    return false; // it has ended
  }
}

/** @throws `EnvironmentError` criu may not read the limits of a process of the tree, without which it dumps nothing */
export function checkLimits({ pid, pids }: Target): void {
  if (effectiveCapabilities(readText('/proc/self/status')).has('CAP_SYS_RESOURCE')) return;
  const other = pids.find((one) => !mayReadLimits(one));
  if (other === undefined) return;
  throw new EnvironmentError(
    `cannot dump ${pid}: criu may not read the limits of ${other}, which is another user's`,
    [
      {
        what: 'CAP_SYS_RESOURCE',
        remedy: 'run as root with it, or as the user of the process with the rights of root',
      },
    ],
  );
}

/** @throws `EnvironmentError` a process of the tree is under a seccomp filter that criu may not suspend */
export function checkFilters({ pid, pids }: Target): void {
  if (pids.some(isFiltered)) checkMaySuspendFilters(`dump ${pid}`);
}
