// SPDX-License-Identifier: MIT
/**
 * Cold start against restore of an inference server that runs without a
 * container, to the first token of an answer by HTTP.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { caseEnvironment, type BenchmarkCase, type Sample } from '../benchmark/index.ts';
import { checkpoint } from '../checkpoint/index.ts';
import { ToolkitError } from '../errors.ts';
import { poolPrefetch } from '../pool/index.ts';
import { restore } from '../restore/index.ts';
import { Program } from '../workload/index.ts';
import type { Answer } from './http.ts';
import { Server, type Host, type ServerOptions } from './server.ts';

export interface ServerBenchOptions {
  /** Program and arguments. */
  command: readonly string[];
  server: ServerOptions;
  /** Requests between the start and the first dump. @default 2 */
  requests?: number;
  /**
   * One process for all samples with the same preloaded library: each dump is of what the sample before restored, and
   * only the first has a cold start.
   * @default false
   */
  reuse?: boolean;
  /** The program that CRIU is. @default the one that `criu-cuda setup` finds */
  criu?: string;
  signal?: AbortSignal;
}

interface Live {
  program: Program;
  /** What it answered last. */
  answer: Answer;
  coldMs?: number;
}

/** Measures samples for `runBenchmark`; {@link ServerBench.close} ends what it left running. */
export class ServerBench {
  readonly #options: ServerBenchOptions;
  readonly #server: Server;
  readonly #live = new Map<string, Live>();

  constructor(options: ServerBenchOptions) {
    this.#options = options;
    this.#server = new Server(options.server);
  }

  async #start(one: BenchmarkCase): Promise<Live> {
    const { command, requests = 2, signal } = this.#options;
    const begin = performance.now();
    if (await this.#server.isHealthy(signal))
      throw new ToolkitError('ERR_BENCHMARK', `something answers at ${this.#options.server.url} already`);
    const program = await Program.run(command, one.preload === undefined ? {} : { LD_PRELOAD: one.preload });
    const host: Host = { name: command.join(' '), isRunning: () => Promise.resolve(program.isRunning) };
    try {
      await this.#server.untilHealthy(host, signal);
      let answer = await this.#server.ask(signal);
      const coldMs = performance.now() - begin - answer.durationMs + answer.firstTokenMs;
      for (let i = 0; i < requests; i += 1) answer = await this.#server.ask(signal);
      return { program, answer, coldMs };
    } catch (error) {
      await program.kill();
      throw error;
    }
  }

  async #dumpAndRestore(one: BenchmarkCase, live: Live, imagesDir: string): Promise<Omit<Sample, 'round'>> {
    const criu = one.criu ?? this.#options.criu;
    const { signal } = this.#options;
    const shared = {
      imagesDir,
      libdir: one.libdir,
      env: caseEnvironment(one),
      ...(criu === undefined ? {} : { criu }),
      ...(signal === undefined ? {} : { signal }),
    };
    const dumped = await checkpoint({ ...shared, pid: live.program.pid });
    await live.program.gone();
    if (one.prefetch === true) await poolPrefetch(imagesDir);
    const start = performance.now();
    const restored = await restore(shared);
    const asked = performance.now();
    const answer = await this.#server.ask(signal);
    if (answer.text !== live.answer.text) {
      throw new ToolkitError(
        'ERR_BENCHMARK',
        `${one.name}: answers "${answer.text.slice(0, 80)}" after the restore, and "${live.answer.text.slice(0, 80)}" before`,
      );
    }
    return {
      case: one.name,
      ...(live.coldMs === undefined ? {} : { coldMs: live.coldMs }),
      dumpMs: dumped.durationMs,
      dumpPhases: dumped.phases,
      restoreMs: restored.result.durationMs,
      restorePhases: restored.result.phases,
      verifiedMs: asked - start + answer.firstTokenMs,
      imageBytes: dumped.imageBytes,
    };
  }

  /** One dump and one restore. The time of the first token is `verifiedMs`. */
  async measure(one: BenchmarkCase, round: number, store: string): Promise<Sample> {
    const key = one.preload ?? '';
    const imagesDir = mkdtempSync(join(store, 'images-'));
    let live = this.#live.get(key);
    try {
      live ??= await this.#start(one);
      this.#live.set(key, live);
      const sample = await this.#dumpAndRestore(one, live, imagesDir);
      delete live.coldMs;
      if (this.#options.reuse !== true) await this.#end(key);
      return { ...sample, round };
    } catch (error) {
      await this.#end(key);
      throw error;
    } finally {
      rmSync(imagesDir, { recursive: true, force: true });
    }
  }

  async #end(key: string): Promise<void> {
    const live = this.#live.get(key);
    this.#live.delete(key);
    await live?.program.kill();
  }

  /** Ends what still runs. */
  async close(): Promise<void> {
    for (const key of [...this.#live.keys()]) await this.#end(key);
  }
}
