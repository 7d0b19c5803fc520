// SPDX-License-Identifier: MIT
/**
 * The result of a benchmark as a file: JSON with every sample, and the same samples as CSV.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { z } from 'zod';
import { reasonOf } from '../errno.ts';
import { UsageError } from '../errors.ts';
import type { Sample } from './dump-restore.ts';
import { phaseSchema } from './phase.ts';
import { summarize, type CaseSummary } from './summary.ts';
import { makeDirectory } from '../directory.ts';

const ms = z.number().nonnegative();
const count = z.int().nonnegative();

export const sampleSchema = z.object({
  case: z.string(),
  round: z.int(),
  coldMs: ms.optional(),
  coldPhases: z.array(phaseSchema).optional(),
  tokensPerSecond: ms.optional(),
  dumpTypedMs: ms.optional(),
  dumpMs: ms,
  dumpPhases: z.array(phaseSchema),
  restoreMs: ms,
  restorePhases: z.array(phaseSchema),
  typedMs: ms.optional(),
  verifiedMs: ms,
  imageBytes: count,
  deviceBytes: count.optional(),
});

const imageStore = z.object({ path: z.string(), type: z.string(), options: z.string() });

export const environmentSchema = z.object({
  date: z.string(),
  kernel: z.string(),
  cpus: z.string(),
  memory: count,
  transparentHugePages: z.string(),
  imageStore,
  /** All image stores, if a matrix uses more than one. */
  imageStores: z.array(imageStore).optional(),
  pageCache: z.enum(['warm', 'dropped']).optional(),
  criu: z.string(),
  gpu: z.string().optional(),
  driver: z.string().optional(),
  software: z.boolean(),
});

const caseSchema = z.object({
  name: z.string(),
  interceptor: z.boolean(),
  env: z.record(z.string(), z.string()),
  settings: z
    .object({
      variant: z.string(),
      store: z.string().optional(),
      streams: count.optional(),
      chunkMb: count.optional(),
      pool: z.union([z.literal(0), z.literal(1)]).optional(),
      prefetch: z.boolean().optional(),
    })
    .optional(),
});

const resultSchema = z.object({
  schemaVersion: z.literal(1),
  environment: environmentSchema,
  /** Options of workload-pattern. */
  workload: z.array(z.string()),
  cases: z.array(caseSchema),
  samples: z.array(sampleSchema).min(1),
  /** What was typed, from `criu-cuda`; absent in older results. */
  command: z.array(z.string()).optional(),
  /** What the time until "verified" ends with; absent in older results. */
  until: z.enum(['verified', 'first token']).optional(),
});

/** The contents of the file, and summaries computed from its samples. */
export type BenchmarkResult = z.infer<typeof resultSchema> & {
  /** Of each case, in the order of the cases. */
  summaries: CaseSummary[];
  /** Name of the case that ratios are relative to. */
  reference: string;
};
export type ResultCase = z.infer<typeof caseSchema>;

/** What the others are compared with: CRIU's own plugin, where it was measured, otherwise the first case. */
function referenceOf(cases: readonly ResultCase[]): string {
  return (cases.find(({ name }) => name === 'upstream') ?? cases[0])?.name ?? '';
}

/**
 * Creates a result: samples sorted by round and case, ratios to one case.
 * @param reference name of that case. @default `upstream`, where it is among the cases, otherwise the first
 */
export function createResult(
  parts: Omit<BenchmarkResult, 'schemaVersion' | 'summaries' | 'reference'>,
  reference = referenceOf(parts.cases),
): BenchmarkResult {
  const place = new Map(parts.cases.map(({ name }, index) => [name, index]));
  const order = (sample: Sample): number => sample.round * place.size + (place.get(sample.case) ?? 0);
  const samples = [...parts.samples].sort((a, b) => order(a) - order(b));
  return { schemaVersion: 1, ...parts, samples, summaries: summarize(samples, reference), reference };
}

/** The path of an invalid field: `samples[3].dumpMs`. */
function issueText(error: z.ZodError): string {
  const [issue] = error.issues;
  if (!issue) return error.message;
  const path = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${path.replace(/^\./, '')}: ${issue.message}`;
}

/** Reads a JSON file. @throws {@link UsageError} naming the file */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${reasonOf(error)}`);
  }
}

/** Checks a result. @throws {@link UsageError} naming the file and the field */
export function parseResult(value: unknown, path: string): BenchmarkResult {
  const parsed = resultSchema.safeParse(value);
  if (!parsed.success)
    throw new UsageError(`${path} is not a benchmark result of this version: ${issueText(parsed.error)}`);
  const { data } = parsed;
  const known = new Set(data.cases.map(({ name }) => name));
  const stray = data.samples.find((sample) => !known.has(sample.case));
  if (stray)
    throw new UsageError(`${path}: a sample belongs to case "${stray.case}", which the file does not list`);
  return createResult(data);
}

/** Reads and checks a result file. @throws {@link UsageError} naming the file and the field that is wrong */
export function readResult(path: string): BenchmarkResult {
  return parseResult(readJson(path), path);
}

/** The samples as CSV, one row each; times in milliseconds, sizes in bytes. */
export function resultCsv(result: BenchmarkResult): string {
  const cases = new Map(result.cases.map((one) => [one.name, one]));
  const rows = result.samples.map((sample) => {
    const settings = cases.get(sample.case)?.settings;
    return {
      case: sample.case,
      variant: settings?.variant,
      streams: settings?.streams,
      chunk_mb: settings?.chunkMb,
      pool: settings?.pool,
      prefetch: settings?.prefetch === undefined ? undefined : Number(settings.prefetch),
      store: settings?.store ?? result.environment.imageStore.path,
      round: sample.round,
      cold_ms: sample.coldMs,
      ...Object.fromEntries(
        ['start', 'load', 'first token'].map((name) => [
          `cold_${name.replace(' ', '_')}_ms`,
          sample.coldPhases?.find((phase) => phase.name === name)?.durationMs,
        ]),
      ),
      tokens_per_second: sample.tokensPerSecond,
      dump_typed_ms: sample.dumpTypedMs,
      dump_ms: sample.dumpMs,
      restore_ms: sample.restoreMs,
      typed_ms: sample.typedMs,
      verified_ms: sample.verifiedMs,
      image_bytes: sample.imageBytes,
      device_bytes: sample.deviceBytes,
    };
  });
  return stringify(rows, { header: true });
}

/** Writes `path` and, next to it, the same name with `.csv`. @returns both paths */
export function writeResult(path: string, result: BenchmarkResult): string[] {
  const csv = `${path.replace(/\.json$/, '')}.csv`;
  makeDirectory(dirname(path));
  writeFileSync(path, `${JSON.stringify(result, null, 1)}\n`);
  writeFileSync(csv, resultCsv(result));
  return [path, csv];
}
