// SPDX-License-Identifier: MIT
/**
 * Runs the checks one after the other, each in its own sandbox.
 * @module
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readEnvironment, type BenchmarkEnvironment } from '../benchmark/index.ts';
import { createScratch } from '../demo/index.ts';
import { chooseDriver, type DriverChoice } from '../gpu/index.ts';
import { describeError, EnvironmentError, UsageError } from '../errors.ts';
import { tailOf } from '../exec.ts';
import { becomeSubreaper, collectBackgroundProcesses } from '../process/index.ts';
import { currentSystem, findCriu } from '../machine/index.ts';
import { Skipped, type Check, type CheckSettings, type Figures } from './check.ts';
import { driverChecks } from './driver-checks.ts';
import { poolChecks } from './pool-checks.ts';
import { roundTripChecks } from './round-trips.ts';
import { Sandbox } from './sandbox.ts';
import { trainingChecks } from './training.ts';

const checks: readonly Check[] = [...roundTripChecks, ...trainingChecks, ...poolChecks, ...driverChecks];

/** Names and claims of all checks, in the order they run. */
export const selftestChecks: readonly Pick<Check, 'name' | 'claim'>[] = checks.map(({ name, claim }) => ({
  name,
  claim,
}));

const MIB = 2 ** 20;
const GPU_BYTES = 2048 * MIB;
const SOFTWARE_BYTES = 32 * MIB;
/** Context state on a GPU, and memory of the programs in addition to the pattern. */
const OVERHEAD_BYTES = 1024 * MIB;
const DEFAULT_MIN_SPEEDUP = 3;

export interface SelftestOptions {
  /** Directory with CRIU's own `cuda_plugin.so` and NVIDIA's `cuda-checkpoint`. @default what needs them is skipped */
  upstream?: string | undefined;
  /** The Python that may have PyTorch. @default python3 */
  python?: string | undefined;
  /** How many times faster than upstream `full` must restore. @default 3 */
  minSpeedup?: number | undefined;
  /** The checks to run, by name. @default all */
  only?: readonly string[] | undefined;
  /** Runs on the software driver: shows that the checks work, not that the claims hold. @default false */
  software?: boolean | undefined;
  /** Device memory of the workload. Bytes. @default 2 GiB on a GPU, 32 MiB on the software driver */
  bytes?: number | undefined;
  signal?: AbortSignal | undefined;
  onStart?: (check: Pick<Check, 'name' | 'claim'>) => void;
  onResult?: (result: CheckResult) => void;
}

export interface CheckResult {
  name: string;
  claim: string;
  status: 'passed' | 'failed' | 'skipped';
  durationMs: number;
  figures: Figures;
  /** Why it failed or was skipped. */
  reason?: string | undefined;
}

export interface SelftestResult {
  /** Where it ran; times of the software driver mean nothing. */
  environment: BenchmarkEnvironment;
  /** Device memory of the workload. */
  bytes: number;
  results: CheckResult[];
}

function select(only: readonly string[] | undefined): readonly Check[] {
  const unknown = only?.find((name) => !checks.some((check) => check.name === name));
  if (unknown !== undefined) {
    throw new UsageError(
      `"${unknown}" is not a check`,
      `checks: ${checks.map(({ name }) => name).join(', ')}`,
    );
  }
  return only === undefined || only.length === 0 ? checks : checks.filter(({ name }) => only.includes(name));
}

/** An error with everything known about it, including the end of criu's log. */
function explain(error: unknown): string {
  const facts = error instanceof Error && 'facts' in error ? (error.facts as { tail?: string }) : {};
  const tail = facts.tail === undefined || facts.tail === '' ? '' : `\n${tailOf(facts.tail)}`;
  return `${describeError(error)}${tail}`;
}

async function runCheck(check: Check, sandbox: Sandbox, settings: CheckSettings): Promise<CheckResult> {
  const { name, claim } = check;
  const start = performance.now();
  const result = (rest: Pick<CheckResult, 'status' | 'figures' | 'reason'>): CheckResult => ({
    ...{ name, claim, durationMs: performance.now() - start },
    ...rest,
  });
  let outcome: CheckResult;
  try {
    outcome = result({ status: 'passed', figures: await check.run(sandbox, settings) });
  } catch (error) {
    const status = error instanceof Skipped ? 'skipped' : 'failed';
    outcome = result({ status, figures: {}, reason: explain(error) });
  }
  try {
    await sandbox.close();
    await collectBackgroundProcesses();
  } catch (error) {
    if (outcome.status === 'failed') return outcome;
    return result({
      status: 'failed',
      figures: outcome.figures,
      reason: `cannot clean up: ${explain(error)}`,
    });
  }
  return outcome;
}

/** Why the self-test cannot run on this machine's own driver; `undefined` where it can. */
export async function selftestObstacle(): Promise<string | undefined> {
  const { software, reason } = await chooseDriver(false);
  return software ? `the self-test needs a GPU: ${reason}` : undefined;
}

function environmentOf(driver: DriverChoice, devicesDir: string, bytes: number): Record<string, string> {
  const named = driver.library === undefined ? {} : { CRIU_CUDA_DRIVER: driver.library };
  if (!driver.software) return named;
  return {
    ...named,
    SOFTCUDA_DIR: devicesDir,
    SOFTCUDA_MEMORY_MB: String(Math.ceil((4 * bytes) / MIB) + 64),
  };
}

/** Sets variables of this process. @returns a function that restores their values */
function setEnvironment(env: Record<string, string>): () => void {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  };
}

/**
 * Verifies this project's claims on this machine. On the software driver it can run once per process, because the
 * driver keeps the devices of the first run.
 * @throws `EnvironmentError` without a GPU (and without `software`), a usable CRIU or a build; `UsageError` for an
 * unknown check. A check that fails is a result, not an error.
 */
export async function runSelftest(options: SelftestOptions = {}): Promise<SelftestResult> {
  const { signal } = options;
  const chosen = select(options.only);
  const obstacle = options.software === true ? undefined : await selftestObstacle();
  if (obstacle !== undefined) {
    throw new EnvironmentError(obstacle, [
      { what: 'GPU with driver 570 or newer', remedy: 'run it there, or with --software to test the checks' },
    ]);
  }
  const driver = await chooseDriver(options.software ?? false);
  const { criu } = await findCriu(currentSystem(signal));
  if (!criu)
    throw new EnvironmentError('no usable CRIU', [{ what: 'CRIU 4.0 or newer', remedy: 'criu-cuda setup' }]);
  const bytes = options.bytes ?? (driver.software ? SOFTWARE_BYTES : GPU_BYTES);
  const scratch = createScratch(driver.software ? 4 * bytes : 2 * bytes + OVERHEAD_BYTES);
  const env = environmentOf(driver, scratch.devicesDir, bytes);
  // the addon's libraries read it from the environment of this process
  const undoEnvironment = setEnvironment(env);
  const settings: CheckSettings = {
    software: driver.software,
    python: options.python ?? 'python3',
    minSpeedup: options.minSpeedup ?? DEFAULT_MIN_SPEEDUP,
    upstream: options.upstream,
  };
  const undoSubreaper = becomeSubreaper();
  const results: CheckResult[] = [];
  try {
    for (const check of chosen) {
      signal?.throwIfAborted();
      options.onStart?.(check);
      const sandbox = new Sandbox({
        dir: join(scratch.dir, check.name),
        criu: criu.path,
        driver: driver.library,
        env,
        bytes,
        signal,
      });
      const result = await runCheck(check, sandbox, settings);
      results.push(result);
      options.onResult?.(result);
    }
    signal?.throwIfAborted();
    return { environment: await readEnvironment(scratch.dir, criu, driver.software), bytes, results };
  } finally {
    rmSync(scratch.dir, { recursive: true, force: true });
    undoEnvironment();
    undoSubreaper();
  }
}
