// SPDX-License-Identifier: MIT
/**
 * The samples of a benchmark so far, one JSON line each, in a file next to the future result. An interrupted benchmark
 * continues from it.
 * @module
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { reasonOf } from '../errno.ts';
import { UsageError } from '../errors.ts';
import type { Sample } from './dump-restore.ts';
import type { BenchmarkEnvironment } from './environment.ts';
import { environmentSchema, sampleSchema } from './result.ts';
import { makeDirectory } from '../directory.ts';

/** What must be the same to continue a run: cases, workload, rounds, as JSON. */
export type Plan = Readonly<Record<string, unknown>>;

/** What Node says of a full disk has no path. */
const cannotWrite = (path: string, error: unknown): UsageError =>
  new UsageError(
    `cannot write ${path}: ${reasonOf(error)}`,
    'free space there, or name another file with --output',
  );

export class Journal {
  readonly path: string;
  /** The environment in which the first samples were measured. */
  readonly environment: BenchmarkEnvironment;
  readonly #samples: Sample[];

  private constructor(path: string, environment: BenchmarkEnvironment, samples: Sample[]) {
    this.path = path;
    this.environment = environment;
    this.#samples = samples;
  }

  /**
   * Opens the journal of an interrupted run, or creates one.
   * @param out path of the result
   * @throws {@link UsageError} the journal is from a different plan or machine
   */
  static open(out: string, plan: Plan, environment: BenchmarkEnvironment, restart: boolean): Journal {
    const path = `${out}.partial`;
    const head = { plan: JSON.parse(JSON.stringify(plan)) as unknown, environment };
    if (!restart && existsSync(path)) return Journal.#read(path, head);
    makeDirectory(dirname(path));
    try {
      writeFileSync(path, `${JSON.stringify(head)}\n`);
    } catch (error) {
      rmSync(path, { force: true });
      throw cannotWrite(path, error);
    }
    return new Journal(path, environment, []);
  }

  static #read(path: string, head: { plan: unknown; environment: BenchmarkEnvironment }): Journal {
    const text = readFileSync(path, 'utf8');
    const refuse = (what: string): never => {
      throw new UsageError(
        `cannot continue from ${path}: ${what}`,
        'repeat the command that wrote it, remove the file, or start over with --restart',
      );
    };
    // an incomplete last line was being written when the run was interrupted
    const [first = '', ...rest] = text
      .slice(0, text.lastIndexOf('\n') + 1)
      .trim()
      .split('\n');
    try {
      const { plan, environment } = JSON.parse(first) as { plan: unknown; environment: unknown };
      if (!isDeepStrictEqual(plan, head.plan)) return refuse('it is from a benchmark with other options');
      const before = environmentSchema.parse(environment);
      const { date: _then, ...then } = before;
      const { date: _now, ...now } = head.environment;
      if (!isDeepStrictEqual(then, JSON.parse(JSON.stringify(now))))
        return refuse('it is from another machine or driver');
      const samples = rest.map((line) => sampleSchema.parse(JSON.parse(line)));
      writeFileSync(path, `${[first, ...rest].join('\n')}\n`);
      return new Journal(path, before, samples);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return refuse('it is not a journal, or it is damaged');
    }
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  has(caseName: string, round: number): boolean {
    return this.#samples.some((sample) => sample.case === caseName && sample.round === round);
  }

  add(sample: Sample): void {
    this.#samples.push(sample);
    try {
      appendFileSync(this.path, `${JSON.stringify(sample)}\n`);
    } catch (error) {
      throw cannotWrite(this.path, error);
    }
  }

  /** Removes the journal once the result has been written. */
  remove(): void {
    rmSync(this.path, { force: true });
  }
}
