// SPDX-License-Identifier: MIT
/** Ranks that map each other's device memory: `workload-ranks`, under the interceptor. */
import { readlinkSync, readdirSync } from 'node:fs';
import { builtProgram, interceptorLibrary } from '../../lib/paths.ts';
import type { Workload } from '../../lib/workload/index.ts';
import type { Machine } from './machine.ts';
import { threadNames } from './same-program.ts';

export class Ranks {
  readonly #workload: Workload;
  #pids: readonly number[] = [];

  private constructor(workload: Workload) {
    this.#workload = workload;
  }

  /** Starts the ranks, which have done some steps and continue. */
  static async start(
    machine: Machine,
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<Ranks> {
    const workload = await machine.start({
      program: [builtProgram('workload-ranks')],
      args: ['--words', '4096', ...args],
      env: { LD_PRELOAD: interceptorLibrary(), SOFTCUDA_DEVICES: '2', ...env },
    });
    const ranks = new Ranks(workload);
    ranks.#pids =
      /pids=([\d,]+)/
        .exec(await workload.ask('status'))?.[1]
        ?.split(',')
        .map(Number) ?? [];
    await ranks.run();
    return ranks;
  }

  get workload(): Workload {
    return this.#workload;
  }

  get pid(): number {
    return this.#workload.pid;
  }

  /** Of the ranks, in their order. */
  get pids(): readonly number[] {
    return this.#pids;
  }

  async #ask(request: string): Promise<string> {
    const answer = await this.#workload.ask(request);
    if (!answer.startsWith('ok')) throw new Error(`${request}: ${answer}`);
    return answer;
  }

  async step(): Promise<number> {
    return Number(/step=(\d+)/.exec(await this.#ask('status'))?.[1]);
  }

  /** Starts the loop, if it does not run, and waits until some steps are done. */
  async run(steps = 4): Promise<void> {
    const status = await this.#ask('status');
    if (!status.includes('running=1')) await this.#ask('start');
    await this.#ask(`await ${(await this.step()) + steps}`);
  }

  /**
   * Ends the loop. Each rank reads all buffers through its own mappings and compares every word with what the others have
   * written, so this fails unless the memory is shared and whole. Then the loop begins again.
   */
  async check(): Promise<void> {
    await this.run();
    await this.#ask('stop');
    await this.#ask('sum');
    await this.run();
  }

  /** A rank that another cannot read, or that has other data, is noticed: the check checks. */
  poke(rank: number): Promise<string> {
    return this.#workload.ask(`poke ${rank}`);
  }

  ask(request: string): Promise<string> {
    return this.#workload.ask(request);
  }
}

/** Descriptors and threads of a process that are the interceptor's. */
export function keptBy(pid: number): { threads: string[]; descriptors: number } {
  const threads = threadNames(pid);
  const descriptors = readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // closed meanwhile
    }
  });
  return {
    threads: threads.filter((name) => name.startsWith('criu-cuda-')).sort(),
    descriptors: descriptors.length,
  };
}
