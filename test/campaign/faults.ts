// SPDX-License-Identifier: MIT
/**
 * Injects one fault. Criu and the processes that the plugin starts have fault-points.so, which reports when they are at
 * the step and waits, so that the fault happens there.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { buildDir } from '../../lib/paths.ts';
import { readProcessTree, readStat, sendSignal } from '../../lib/process/index.ts';
import { campaignId, type CampaignMachine } from './machine.ts';
import { findByName, pause } from './processes.ts';
import type { Plan, Target } from './types.ts';

/** How long something is stopped by SIGSTOP. */
const PAUSE_MS = 20;
/** The shim's page: 5 × 16 counters, calls that match the rule, calls at which the fault was injected. */
const HITS_OFFSET = (5 * 16 + 1) * 4;
const COUNTS_BYTES = 4096;
const NAME = `criu-cuda-campaign-${campaignId}`;
const FREEZER = `/sys/fs/cgroup/freezer/${NAME}`;
const MEMORY = `/sys/fs/cgroup/memory/${NAME}`;
const errnos = { EIO: 5, ENOSPC: 28 };

/** Whether this machine lets the campaign make cgroups of the old hierarchy. */
export function canUseCgroups(): boolean {
  try {
    for (const dir of [FREEZER, MEMORY]) {
      mkdirSync(dir, { recursive: true });
      rmdirSync(dir);
    }
    return true;
  } catch {
    return false;
  }
}

/** What the faults of a cycle act on. */
export interface Subject {
  pid: number;
  /** Aborts the library's call. */
  abort: () => void;
  /** The command line, once it runs. */
  commandPid: () => number | undefined;
}

/** Makes the page of counters; before the first process with the shim starts. */
export function makeCounts(machine: CampaignMachine): void {
  writeFileSync(join(machine.faultDir, 'counts'), Buffer.alloc(COUNTS_BYTES));
}

const isCriu = (pid: number): boolean => readStat(pid)?.comm === 'criu';

/** Criu itself; its children have its name, and those that become the restored program have smaller pids. */
function oldest(pids: readonly number[]): number | undefined {
  const stats = pids.flatMap((pid) => readStat(pid) ?? []);
  return stats.sort((one, other) => one.startTime - other.startTime)[0]?.pid;
}

export class FaultInjector {
  readonly #machine: CampaignMachine;
  readonly #plan: Plan;
  readonly #subject: Subject;
  #server: Server | undefined;
  #isHit = false;
  /** Of the criu that is at the step. */
  #criuPid: number | undefined;
  #injected: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(machine: CampaignMachine, plan: Plan, subject: Subject) {
    this.#machine = machine;
    this.#plan = plan;
    this.#subject = subject;
  }

  /** Loads the shim, which only counts. */
  static shim({ faultDir }: CampaignMachine): Record<string, string> {
    return { LD_PRELOAD: join(buildDir(), 'test-tools', 'fault-points.so'), CCR_FAULT_DIR: faultDir };
  }

  /** The environment that makes the shim inject the fault, for criu and for the daemon. */
  static environment(machine: CampaignMachine, plan: Plan): Record<string, string> {
    const { step, fault } = plan;
    const { faultDir } = machine;
    const shim = FaultInjector.shim(machine);
    if (fault.kind === 'driver') return { ...shim, SOFTCUDA_FAIL: fault.rule, SOFTCUDA_FAIL_MARKS: faultDir };
    if (step.kind !== 'call') return shim;
    const action = fault.kind === 'errno' ? errnos[fault.name] : 'ask';
    return { ...shim, CCR_FAULT: `${step.role}:${step.call}:${step.nth}:${action}:${step.text}` };
  }

  /** Arguments of criu that inject the fault. */
  arguments(): string[] {
    const { step, needsUndo } = this.#plan;
    const at = step.kind === 'script' ? step.at : needsUndo ? 'post-dump' : undefined;
    if (at === undefined) return [];
    const path = join(this.#machine.faultDir, 'action.sh');
    const mark = join(this.#machine.faultDir, 'script-failed');
    writeFileSync(path, `#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = ${at} ] || exit 0\n: > ${mark}\nexit 1\n`, {
      mode: 0o755,
    });
    return ['--action-script', path];
  }

  /** Begins to wait for the step; call it just before the operation. */
  async arm(): Promise<void> {
    const { fault, step } = this.#plan;
    if (fault.kind === 'disk-full') this.#machine.limitImages(fault.kib);
    if (step.kind === 'call') {
      this.#server = createServer((socket) => void this.#answer(socket));
      this.#server.listen(join(this.#machine.faultDir, 'socket'));
      await once(this.#server, 'listening');
    }
    if (step.kind === 'before' && ['frozen', 'memory'].includes(fault.kind)) await this.#inject(undefined);
  }

  /** The operation was started; for a fault after a delay. */
  started(expectedMs: number): void {
    const { step } = this.#plan;
    if (step.kind !== 'delay') return;
    this.#injected = delay(step.fraction * expectedMs, undefined, { signal: this.#stop.signal })
      .then(() => this.#inject(undefined))
      .catch(() => undefined);
  }

  async #answer(socket: Socket): Promise<void> {
    socket.on('error', () => undefined); // it was killed
    const [line] = (await once(socket, 'data')) as [Buffer];
    const [role = '', pid = ''] = line.toString().trim().split(' ');
    if (role === 'criu') this.#criuPid = Number(pid);
    await this.#inject(Number(pid));
    socket.end('\n');
  }

  #targets(target: Target, asking: number | undefined): number[] {
    const { pid, commandPid } = this.#subject;
    const names: Partial<Record<Target, RegExp>> = {
      ...{
        watcher: /^cuda-watcher$/, // the first one; the second takes over
        pool: /^cuda-pool/,
        criu: /^criu$/,
        'criu+watcher': /^(criu|cuda-watcher(-2)?)$/,
      },
    };
    if (target === 'task') return asking === undefined ? [] : [asking];
    if (target === 'program') return [pid];
    if (target === 'caller') return [commandPid() ?? -1].filter((one) => one > 0);
    const found = findByName(names[target] ?? /^$/);
    const criu = this.#criuPid ?? oldest(found.filter(isCriu));
    if (target === 'criu') return criu === undefined ? [] : [criu];
    return target === 'criu+watcher' ? found.filter((pid) => pid === criu || !isCriu(pid)) : found;
  }

  async #signal(target: Target, signal: NodeJS.Signals, asking: number | undefined): Promise<void> {
    if (target === 'caller' && this.#plan.face === 'library') {
      this.#isHit = true;
      this.#subject.abort();
      return;
    }
    for (const pid of this.#targets(target, asking)) {
      this.#isHit = true;
      if (signal === 'SIGSTOP') await pause(pid, PAUSE_MS);
      else sendSignal(pid, signal);
    }
  }

  /** @param asking the process that waits at the step */
  async #inject(asking: number | undefined): Promise<void> {
    const { fault } = this.#plan;
    if (fault.kind === 'signal') await this.#signal(fault.target, fault.signal, asking);
    if (fault.kind === 'frozen') await this.#freeze(fault.ms);
    if (fault.kind === 'memory') this.#limitMemory(fault.target, fault.kib, asking);
  }

  /** Freezes the program; it thaws after the time. */
  async #freeze(ms: number): Promise<void> {
    mkdirSync(FREEZER, { recursive: true });
    for (const { pid } of readProcessTree(this.#subject.pid))
      writeFileSync(join(FREEZER, 'cgroup.procs'), String(pid));
    writeFileSync(join(FREEZER, 'freezer.state'), 'FROZEN');
    this.#isHit = true;
    this.#injected = delay(ms, undefined, { signal: this.#stop.signal })
      .catch(() => undefined)
      .then(() => {
        writeFileSync(join(FREEZER, 'freezer.state'), 'THAWED');
      });
    return Promise.resolve();
  }

  #limitMemory(target: 'criu' | 'program', kib: number, asking: number | undefined): void {
    mkdirSync(MEMORY, { recursive: true });
    // Pages that are in use already stay where they were counted.
    writeFileSync(join(MEMORY, 'memory.limit_in_bytes'), String(kib * 1024));
    const pids =
      target === 'criu' ? [asking ?? -1] : readProcessTree(this.#subject.pid).map(({ pid }) => pid);
    for (const pid of pids.filter((one) => one > 0)) {
      this.#isHit = true;
      writeFileSync(join(MEMORY, 'cgroup.procs'), String(pid));
    }
  }

  /** Undoes what would hinder what comes next. */
  async disarm(): Promise<void> {
    this.#stop.abort();
    await this.#injected;
    this.#server?.close();
    this.#server = undefined;
    this.#machine.growImages();
    if (existsSync(MEMORY)) writeFileSync(join(MEMORY, 'memory.limit_in_bytes'), '-1');
  }

  /** Removes the cgroups, when no process of the cycle is left. */
  close(): void {
    for (const dir of [FREEZER, MEMORY]) if (existsSync(dir)) rmdirSync(dir);
  }

  /** Whether the fault was injected. */
  get isHit(): boolean {
    const { fault, step } = this.#plan;
    const { faultDir } = this.#machine;
    if (fault.kind === 'none') return true;
    if (fault.kind === 'script') return existsSync(join(faultDir, 'script-failed'));
    if (fault.kind === 'driver')
      return this.#machine.list(faultDir).some((name) => name.startsWith('failed-'));
    if (fault.kind === 'disk-full') return true;
    if (fault.kind === 'errno' && step.kind === 'call')
      return readFileSync(join(faultDir, 'counts')).readUInt32LE(HITS_OFFSET) > 0;
    return this.#isHit;
  }

  /** How many processes a limit of memory has ended. */
  get memoryKills(): number {
    const path = join(MEMORY, 'memory.oom_control');
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    return Number(/^oom_kill (\d+)/m.exec(text)?.[1] ?? 0);
  }

  /** Calls counted so far, by role and call. */
  counts(): number[] {
    const page = readFileSync(join(this.#machine.faultDir, 'counts'));
    return Array.from({ length: 5 * 16 }, (_, i) => page.readUInt32LE(i * 4));
  }
}
