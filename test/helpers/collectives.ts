// SPDX-License-Identifier: MIT
/** Ranks whose work waits for each other: plugins-cuda/test/tools/collectives.c, under the interceptor. */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { interceptorLibrary } from '../../lib/paths.ts';
import { killTree } from '../../lib/process/index.ts';
import { Program } from '../../lib/workload/index.ts';
import { testTool } from './parallel.ts';
import type { Machine } from './machine.ts';
import { threadNames } from './same-program.ts';
import { waitUntil } from './wait.ts';

const SLOT_BYTES = 32;
const STEP = 8;
const HOLDS = 16;

export class Collectives {
  readonly #file: string;
  readonly #nr: number;
  readonly #program: Program;

  private constructor(file: string, nr: number, program: Program) {
    this.#file = file;
    this.#nr = nr;
    this.#program = program;
  }

  /** Starts the ranks on the first devices of the machine, and waits until all have done a step. */
  static async start(machine: Machine, ranks: number, devices: number): Promise<Collectives> {
    const file = join(machine.dir, 'ranks');
    const fd = openSync(file, 'w');
    ftruncateSync(fd, 4096);
    closeSync(fd);
    const program = await Program.run(
      [testTool('collectives'), String(ranks), String(devices), file],
      { ...machine.env, LD_PRELOAD: interceptorLibrary() },
      join(machine.dir, 'ranks.log'),
    );
    const all = new Collectives(file, ranks, program);
    await all.advance();
    return all;
  }

  get pid(): number {
    return this.#program.pid;
  }

  #read(rank: number, offset: number): number {
    const fd = openSync(this.#file, 'r');
    const word = Buffer.alloc(8);
    readSync(fd, word, 0, 8, rank * SLOT_BYTES + offset);
    closeSync(fd);
    return Number(word.readBigUInt64LE());
  }

  #all(offset: number): number[] {
    return Array.from({ length: this.#nr }, (_, rank) => this.#read(rank, offset));
  }

  get pids(): number[] {
    return this.#all(0);
  }

  get steps(): number[] {
    return this.#all(STEP);
  }

  /** The device of the rank ends no step until this is called with false. */
  hold(rank: number, holds: boolean): void {
    const fd = openSync(this.#file, 'r+');
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(holds ? 1n : 0n);
    writeSync(fd, word, 0, 8, rank * SLOT_BYTES + HOLDS);
    closeSync(fd);
  }

  /** Waits until every rank has done that many more steps. A wrong byte or a lost step ends a rank. */
  async advance(steps = 1): Promise<void> {
    const before = this.steps;
    await waitUntil(() => this.steps.every((step, rank) => step >= (before[rank] ?? 0) + steps));
  }

  /** Why ranks have ended themselves; empty as long as all is right. */
  get errors(): string {
    return readFileSync(join(this.#file, '..', 'ranks.log'), 'utf8');
  }

  ended(): Promise<void> {
    return this.#program.ended();
  }

  async close(): Promise<void> {
    for (const pid of this.pids) if (pid > 0) await killTree(pid);
  }
}

/** The processes whose service thread says that the gate is closed. */
export function gatedOf(pids: readonly number[]): number[] {
  return pids.filter((pid) => {
    try {
      return threadNames(pid).includes('criu-cuda-gated');
    } catch {
      return false; // it has just ended
    }
  });
}
