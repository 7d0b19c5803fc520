// SPDX-License-Identifier: MIT
/**
 * Compares the cold start of an inference server without a container to its restore, until the first token of an answer
 * over HTTP. Only one server runs at a time, because they share the port.
 * @module
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import {
  coldSample,
  dropPageCache,
  imagedDevice,
  prepareRestore,
  type BenchmarkCase,
  type PageCache,
  type Sample,
  type SamplePhase,
  typeCheckpoint,
} from './dump-restore.ts';
import { monotonicMs } from '../clock.ts';
import { waitForExit } from '../process/index.ts';
import type { TypedOperation } from './typed.ts';
import { UsageError } from '../errors.ts';
import { tailOf } from '../exec.ts';
import { endProgram } from '../stop/index.ts';
import { Program } from '../workload/index.ts';
import {
  type ServerAnswer,
  Server,
  type ServerOptions,
  tokenRate,
  untilNoConnections,
} from '../server/index.ts';
import { BenchmarkError } from './error.ts';

/** The server to start, dump and restore. */
export interface ServerBenchOptions {
  /** Program and arguments of the server. */
  command: readonly string[];
  /** How to send requests to the server. */
  server: ServerOptions;
  /** Requests before each dump, at least one; the restored server must repeat the last answer. @default 3 */
  requests?: number | undefined;
  /**
   * Whether each dump is of the server that the previous sample restored, if the preloaded library is the same; then
   * only the first sample has a cold start.
   * @default false
   */
  reuse?: boolean | undefined;
  /** State of the page cache before each restore. */
  pageCache?: PageCache | undefined;
  /** Stops the benchmark. */
  signal?: AbortSignal | undefined;
}

const REQUESTS = 3;

interface ColdStart {
  healthyMs: number;
  firstTokenMs: number;
  phases: SamplePhase[];
  answer: ServerAnswer;
}

/** The phases of a cold start of a server, from the times at which they ended. */
export function coldPhases(startedMs: number, healthyMs: number, firstTokenMs: number): SamplePhase[] {
  const phase = (name: string, from: number, to: number): SamplePhase => ({
    part: 'application',
    name,
    durationMs: Math.max(0, to - from),
  });
  return [
    phase('start', 0, startedMs),
    phase('load', startedMs, healthyMs),
    phase('first token', healthyMs, firstTokenMs),
  ];
}

/** The rate of an answer, if it is known. */
export function rateOf(answer: ServerAnswer): Pick<Sample, 'tokensPerSecond'> {
  const tokensPerSecond = tokenRate(answer);
  return tokensPerSecond === undefined ? {} : { tokensPerSecond };
}

interface Running {
  program: Program;
  preload: string | undefined;
}

/** From `begin` to the first token of an answer that has just been received. */
const firstTokenSince = (begin: number, { durationMs, firstTokenMs }: ServerAnswer): number =>
  performance.now() - begin - durationMs + firstTokenMs;

class ServerUnderTest {
  readonly http: Server;
  readonly #options: ServerBenchOptions;
  #scratch: string | undefined;
  #running: Running | undefined;

  constructor(options: ServerBenchOptions) {
    this.#options = options;
    this.http = new Server(options.server);
  }

  /** Starts the server, after stopping the one that runs. */
  async start(preload: string | undefined): Promise<ColdStart> {
    const { command, server, signal } = this.#options;
    await this.stop();
    if (await this.http.isHealthy(signal))
      throw new UsageError(`something already answers at ${server.url}`, 'stop it, or use another port');
    this.#scratch ??= makeTemporaryDirectory('criu-cuda-bench-');
    const log = join(this.#scratch, 'server.log');
    rmSync(log, { force: true });
    const begin = performance.now();
    const env = preload === undefined ? {} : { LD_PRELOAD: preload };
    const program = await Program.run(command, env, log);
    const startedMs = performance.now() - begin;
    this.#running = { program, preload };
    const host = {
      name: command.join(' '),
      isRunning: () => Promise.resolve(program.isRunning),
      lastOutput: () => Promise.resolve(tailOf(readFileSync(log, 'utf8'))),
    };
    await this.http.untilHealthy(host, signal);
    const healthyMs = performance.now() - begin;
    const first = await this.http.ask(signal);
    const firstTokenMs = firstTokenSince(begin, first);
    return { healthyMs, firstTokenMs, phases: coldPhases(startedMs, healthyMs, firstTokenMs), answer: first };
  }

  /** The server for a case; started unless it is already running. */
  async obtain(one: BenchmarkCase): Promise<{ program: Program; cold: ColdStart | undefined }> {
    const current = this.#running;
    if (current && this.#options.reuse === true && current.preload === one.preload)
      return { program: current.program, cold: undefined };
    const cold = await this.start(one.preload);
    const started = this.#running;
    if (!started) throw new BenchmarkError('ERR_BENCHMARK', 'the server was stopped while it was starting');
    return { program: started.program, cold };
  }

  async stop(): Promise<void> {
    await endProgram(this.#running?.program);
    this.#running = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    if (this.#scratch !== undefined) removeTemporaryDirectory(this.#scratch);
  }
}

interface Restored extends TypedOperation {
  answer: ServerAnswer;
  /** Time of the first token. */
  answeredAt: number;
}

/** Restores the server, and meanwhile sends requests from the start, like a client that waits for it. */
async function bringBackAndAsk(
  http: Server,
  bringBack: () => Promise<TypedOperation>,
  signal: AbortSignal | undefined,
): Promise<Restored> {
  const failed = new AbortController();
  const asking = http
    .askWhenListening(AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]))
    .then((answer) => ({
      answer,
      answeredAt: monotonicMs() - answer.durationMs + answer.firstTokenMs,
    }));
  asking.catch(() => undefined); // if the restore fails, its error is thrown instead
  try {
    const back = await bringBack();
    // the next dump waits until the pid is free
    void waitForExit(back.pid);
    return { ...back, ...(await asking) };
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

function compare(one: BenchmarkCase, before: ServerAnswer, after: ServerAnswer): void {
  if (before.text === after.text) return;
  const [now, then] = [after, before].map(({ text }) => JSON.stringify(text.slice(0, 80)));
  throw new BenchmarkError(
    'ERR_BENCHMARK',
    `${one.name}: the restored server answers ${now ?? ''}; before the dump it answered ${then ?? ''}`,
  );
}

/** Measures samples for {@link runBenchmark}; {@link ServerBench.close} stops the server that is left running. */
export class ServerBench {
  readonly #options: ServerBenchOptions;
  readonly #server: ServerUnderTest;

  constructor(options: ServerBenchOptions) {
    if ((options.requests ?? REQUESTS) < 1)
      throw new UsageError(
        'at least one request is needed: its answer is compared with that of the restored server',
      );
    this.#options = options;
    this.#server = new ServerUnderTest(options);
  }

  /** Measures one cold start, or one dump and one restore; `verifiedMs` is the time of the first token. */
  async measure(one: BenchmarkCase, round: number, store: string): Promise<Sample> {
    if (one.coldStart === true) return this.#measureCold(one, round);
    const imagesDir = makeTemporaryDirectory('images-', store);
    try {
      return await this.#measureRestore(one, round, imagesDir);
    } finally {
      if (this.#options.reuse !== true) await this.#server.stop();
      removeTemporaryDirectory(imagesDir);
    }
  }

  async #measureCold(one: BenchmarkCase, round: number): Promise<Sample> {
    await this.#server.stop();
    if (this.#options.pageCache === 'dropped') await dropPageCache(this.#options.signal);
    const { healthyMs, firstTokenMs, phases, answer } = await this.#server.start(one.preload);
    await this.#server.stop();
    return { ...coldSample(one, round, healthyMs, firstTokenMs), coldPhases: phases, ...rateOf(answer) };
  }

  async #measureRestore(one: BenchmarkCase, round: number, imagesDir: string): Promise<Sample> {
    const { requests = REQUESTS, pageCache, signal } = this.#options;
    const { http } = this.#server;
    const target = { imagesDir, criu: one.criu, signal };
    const { program, cold } = await this.#server.obtain(one);
    let before = await http.ask(signal);
    for (let i = 1; i < requests; i += 1) before = await http.ask(signal);
    await untilNoConnections(http.port, signal === undefined ? {} : { signal });
    const dumped = await typeCheckpoint(one, target, program.pid);
    await program.gone();
    const device = await imagedDevice(imagesDir);
    const bringBack = await prepareRestore(one, target, pageCache);
    const { durationMs, phases, answer, ...at } = await bringBackAndAsk(http, bringBack, signal);
    compare(one, before, answer);
    return {
      case: one.name,
      round,
      ...(cold === undefined ? {} : { coldMs: cold.firstTokenMs, coldPhases: cold.phases }),
      ...rateOf(answer),
      dumpTypedMs: dumped.typedMs,
      dumpMs: dumped.durationMs,
      dumpPhases: dumped.phases,
      restoreMs: durationMs,
      restorePhases: phases,
      typedMs: at.answeredAt - at.typedAt,
      verifiedMs: Math.max(0, at.answeredAt - at.startedAt),
      imageBytes: dumped.imageBytes,
      ...device,
    };
  }

  /** Stops the server, if it is running. */
  close(): Promise<void> {
    return this.#server.close();
  }
}
