// SPDX-License-Identifier: MIT
/**
 * Compares cold start and restore of a server in a container, up to the first token. One sample is a start, a
 * checkpoint and a restore.
 * @module
 */
import {
  caseNames,
  coldPhases,
  parseCase,
  rateOf,
  type BenchmarkCase,
  type Sample,
  type SamplePhase,
} from '../benchmark/index.ts';
import {
  checkpointContainer,
  createContainer,
  findContainer,
  removeContainer,
  restoreContainer,
  type ContainerCreateOptions,
} from '../container/index.ts';
import { ToolkitError, UsageError } from '../errors.ts';
import { isPluginVariant } from '../variant.ts';
import { containerHost } from './container-host.ts';
import { compareAnswers } from './golden.ts';
import { Server, type ServerOptions } from '../server/index.ts';
import { BenchmarkError } from '../benchmark/index.ts';

/** The container that is started, checkpointed and restored. */
export interface GoldenBenchOptions extends Omit<ContainerCreateOptions, 'variant' | 'libdir'> {
  /** How the server in it is asked. */
  server: ServerOptions;
  /** Requests between the start and the checkpoint. */
  warmup: number;
}

/** The cases: variants of the plugin. */
export function goldenCases(variants: readonly string[]): BenchmarkCase[] {
  return variants.map((variant) => {
    const word = variant.replace(/@.*/, '');
    if (caseNames.includes(word) && !isPluginVariant(word))
      throw new UsageError(
        `${word} is not a variant`,
        'cold starts are always measured, and the pool is used if it runs',
      );
    return parseCase(variant);
  });
}

/** @returns what measures one sample, for `runBenchmark` */
export function measureGolden(
  options: GoldenBenchOptions,
): (one: BenchmarkCase, round: number, store: string) => Promise<Sample> {
  const { name, signal, warmup } = options;
  return async (one, round, store) => {
    const shared = {
      name,
      criu: one.criu,
      signal,
    };
    const server = new Server(options.server);
    if (await findContainer(name))
      throw new UsageError(
        `the container ${name} already exists`,
        'a benchmark starts and removes its own container: choose another name',
      );
    try {
      const begin = performance.now();
      await createContainer({ ...options, libdir: one.libdir, store });
      const startedMs = performance.now() - begin;
      await server.untilHealthy(containerHost(name), signal);
      const loadedMs = performance.now() - begin;
      const first = await server.ask(signal);
      const coldMs = performance.now() - begin - first.durationMs + first.firstTokenMs;
      let before = first;
      for (let i = 0; i < warmup; i += 1) before = await server.ask(signal);

      const dumped = await checkpointContainer({ ...shared, store });
      const start = performance.now();
      const restored = await restoreContainer({ ...shared, keep: true });
      await server.untilHealthy(containerHost(name), signal);
      const healthyMs = performance.now() - start;
      const answer = await server.ask(signal);
      compareAnswers(name, before, answer);
      const later: SamplePhase = {
        part: 'application',
        name: 'until healthy',
        durationMs: Math.max(0, healthyMs - restored.durationMs),
      };
      return {
        case: one.name,
        round,
        coldMs,
        coldPhases: coldPhases(startedMs, loadedMs, coldMs),
        ...rateOf(answer),
        dumpMs: dumped.durationMs,
        dumpPhases: dumped.phases,
        restoreMs: healthyMs,
        restorePhases: [...restored.phases, later],
        verifiedMs: healthyMs + answer.firstTokenMs,
        imageBytes: dumped.bytes,
      };
    } catch (error) {
      if (error instanceof ToolkitError && error.code === 'ERR_GOLDEN')
        throw new BenchmarkError('ERR_BENCHMARK', `${one.name}: ${error.message}`, { cause: error });
      throw error;
    } finally {
      await removeContainer(name);
    }
  };
}
