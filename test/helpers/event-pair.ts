// SPDX-License-Identifier: MIT
/** Two processes that share events and memory by CUDA IPC (event_pair.py). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { interceptorLibrary, projectRoot } from '../../lib/paths.ts';
import type { Workload } from '../../lib/workload/index.ts';
import type { Machine } from './machine.ts';

const NOT_READY = '600';

export class EventPair {
  readonly workload: Workload;
  readonly pids: readonly number[];
  #value = 0;

  private constructor(workload: Workload, pids: readonly number[]) {
    this.workload = workload;
    this.pids = pids;
  }

  static async start(machine: Machine): Promise<EventPair> {
    const program = ['python3', join(projectRoot, 'test/helpers/event_pair.py')];
    const workload = await machine.start({ program, env: { LD_PRELOAD: interceptorLibrary() } });
    const answer = await workload.ask('pids');
    return new EventPair(workload, answer.replace('ok ', '').split(' ').map(Number));
  }

  get pid(): number {
    return this.workload.pid;
  }

  /** A step of `a` or `b`; its result. */
  async do(step: string): Promise<string> {
    const answer = await this.workload.ask(step);
    expect(answer, step).toMatch(/^ok\b/);
    return answer.slice(3);
  }

  /** `a` makes the event and `b` opens it. */
  async share(event: number): Promise<void> {
    await this.do(`a event ${event}`);
    await this.do(`b open ${event}`);
  }

  /** What each records on a busy stream, the other waits for, and then it reads what was written before. */
  async check(event: number): Promise<void> {
    await this.#checkOne('a', 'b', event);
    await this.#checkOne('b', 'a', event);
  }

  async #checkOne(one: string, two: string, event: number): Promise<void> {
    this.#value += 1;
    for (const step of ['hold 1', `fill 1 ${this.#value}`, `record ${event} 1`])
      await this.do(`${one} ${step}`);
    expect(await this.do(`${two} query ${event}`)).toBe(NOT_READY);
    for (const step of [`await 1 ${event}`, 'read 1']) await this.do(`${two} ${step}`);
    expect(await this.do(`${two} done 1`)).toBe(NOT_READY);
    await this.do(`${one} release 1`);
    await this.do(`${two} sync ${event}`);
    await this.do(`${two} drain 1`);
    expect(await this.do(`${two} query ${event}`)).toBe('0');
    expect(await this.do(`${two} word`)).toBe(String(this.#value));
  }

  /** Mappings of the file that both processes share. */
  pages(): string[][] {
    return this.pids.map((pid) =>
      readFileSync(`/proc/${pid}/maps`, 'utf8')
        .split('\n')
        .filter((line) => line.includes('/memfd:criu-cuda-events'))
        .map((line) => line.split(/ +/)[4] ?? ''),
    );
  }
}
