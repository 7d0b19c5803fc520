// SPDX-License-Identifier: MIT
/** The threads of a push: each reads, hashes and sends. @module */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { projectRoot } from '../../paths.ts';
import type { Jobs, Order, Outcome } from './worker.ts';

/** A registry may limit connections. */
const MOST_THREADS = 12;

const workerFile = join(projectRoot, 'dist', 'registry', 'push', 'worker.js');

const STOPPED: Outcome = { error: { message: 'the push was stopped', code: undefined } };

interface Waiting {
  order: Order;
  settle: (outcome: Outcome) => void;
}

/** Threads that do jobs, in the order in which they are given. */
export class PushThreads {
  readonly nr = Math.min(MOST_THREADS, availableParallelism());
  /** Of a program that works for one of them: all together use each core once. */
  readonly threadsEach = Math.floor(availableParallelism() / this.nr);
  readonly #waiting: Waiting[] = [];
  readonly #idle: Worker[] = [];
  readonly #workers: Worker[] = [];
  readonly #busy = new Map<Worker, Waiting>();
  #isClosed = false;

  /** Does a job on a thread. Rejects as the job does, and when the threads are closed. */
  run<Name extends keyof Jobs>(name: Name, job: Jobs[Name]['job']): Promise<Jobs[Name]['result']> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome): void => {
        if ('result' in outcome) resolve(outcome.result);
        else reject(Object.assign(new Error(outcome.error.message), { code: outcome.error.code }));
      };
      if (this.#isClosed) settle(STOPPED);
      else {
        this.#waiting.push({ order: { name, job } as Order, settle });
        this.#next();
      }
    });
  }

  #next(): void {
    if (this.#waiting.length === 0) return;
    const worker = this.#idle.pop() ?? (this.#workers.length < this.nr ? this.#start() : undefined);
    const waiting = worker && this.#waiting.shift();
    if (!waiting) return;
    this.#busy.set(worker, waiting);
    worker.postMessage(waiting.order);
  }

  #start(): Worker {
    const worker = new Worker(workerFile);
    this.#workers.push(worker);
    worker.on('message', (outcome: Outcome) => {
      this.#end(worker, outcome);
      this.#idle.push(worker);
      this.#next();
    });
    worker.on('error', ({ message }) => {
      this.#end(worker, { error: { message, code: undefined } });
    });
    return worker;
  }

  #end(worker: Worker, outcome: Outcome): void {
    this.#busy.get(worker)?.settle(outcome);
    this.#busy.delete(worker);
  }

  /** Ends the threads, also in the middle of their jobs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { settle } of [...this.#waiting.splice(0), ...this.#busy.values()]) settle(STOPPED);
    this.#busy.clear();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
