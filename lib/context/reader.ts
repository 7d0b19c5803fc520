// SPDX-License-Identifier: MIT
/**
 * Asks the driver, NVML, /proc and the pool at the same time, and keeps what cannot change for a process.
 * @module
 */
import { readdir, readFile } from 'node:fs/promises';
import { EnvironmentError } from '../errors.ts';
import { listGpuProcesses, openProber, type GpuProcess, type Prober } from '../gpu/index.ts';
import type { BackendName, Probe, ProbeHints } from '../native/index.ts';
import { processStates } from '../native/index.ts';
import { describeProcess, parseContainer, type Container } from '../process/index.ts';
import { isPool, operationOf, ownerOf, type KnownOperation, type ProcessFacts } from './owner.ts';
import { PoolReader } from './pool-reader.ts';
import { readFileOperations } from './status-files.ts';
import type { ContextSnapshot, GpuContext, PoolUse } from './types.ts';

/** Where contexts are read from. */
export interface ContextSource {
  /** A libcuda.so.1. @default the setting CRIU_CUDA_DRIVER */
  driver?: string | undefined;
  /** Forces one way to native code. @default CRIU_CUDA_NATIVE, else the addon where there is one, else koffi */
  backend?: BackendName | undefined;
  /** Run directory of the pool and of the plugin. @default the setting CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
}

/** What cannot change for a process, and what is worth trying again. */
interface Known extends ProbeHints {
  comm: string;
  command: string;
  container: Container | null;
  /** When it was first seen, by `performance.now()`. */
  sinceMs: number;
}

interface Seen {
  probe: Probe;
  known: Known;
}

/** Questions to the driver at a time. */
const AT_ONCE = 16;
/** A process without CUDA is not asked again for this long; one with a context is found by NVML before that. */
const ASK_AGAIN_MS = 5000;
/** The interceptor's thread begins in cuInit: a process that has none by then never gets one. */
const INTERCEPTOR_STARTED_MS = 2000;

const NONE: ProbeHints = { startTime: 0, restoreTid: 0, serviceTid: 0 };

const hasEnded = (probe: Probe | null): boolean => probe === null || 'ZX'.includes(probe.mainState);

async function readContainer(pid: number): Promise<Container | null> {
  return parseContainer(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''));
}

function stateOf({ state }: Probe): GpuContext['state'] {
  return state < 0 ? 'stopped' : (processStates[state] ?? 'failed');
}

function factsOf(pid: number, probe: Probe): ProcessFacts {
  const { comm, isGated, mainState } = probe;
  return { pid, comm, state: stateOf(probe), isGated, isStopped: mainState === 'T' };
}

function contextOf(
  pid: number,
  { probe, known }: Seen,
  operation: KnownOperation | undefined,
  gpu: GpuProcess | undefined,
): GpuContext {
  const { startTime, serviceTid, isGated } = probe;
  const { command, container } = known;
  const { gpuInstanceId, computeInstanceId } = gpu ?? { gpuInstanceId: null, computeInstanceId: null };
  const isSplit = gpuInstanceId !== null && computeInstanceId !== null;
  return {
    pid,
    startTime,
    command,
    container,
    deviceUuid: gpu?.deviceUuid ?? null,
    mig: isSplit ? { gpuInstanceId, computeInstanceId } : null,
    usedBytes: gpu?.usedBytes ?? null,
    state: stateOf(probe),
    owner: ownerOf(factsOf(pid, probe), operation),
    interceptor: serviceTid > 0 ? { tid: serviceTid, gate: isGated ? 'closed' : 'open' } : null,
    isPrimary: isPool(probe.comm) ? true : null,
  };
}

/** Keeps what it has learned about processes: later looks are faster. */
export class ContextReader {
  readonly #probe: Prober;
  readonly #gpuOptions: { driver: string | undefined; backend: BackendName | undefined };
  readonly #pool: PoolReader;
  readonly #known = new Map<number, Known>();
  /** Processes without CUDA, and when they are asked again. */
  readonly #others = new Map<number, number>();

  private constructor(probe: Prober, pool: PoolReader, { driver, backend }: ContextSource) {
    this.#probe = probe;
    this.#pool = pool;
    this.#gpuOptions = { driver, backend };
  }

  /** @throws as `openDriver` */
  static async open(options: ContextSource): Promise<ContextReader> {
    const [probe, pool] = await Promise.all([
      openProber(options.driver, options.backend),
      PoolReader.open(options.runDir),
    ]);
    return new ContextReader(probe, pool, options);
  }

  /**
   * @param pids `undefined`: every process of this PID namespace
   * @returns the snapshot, and whether any of `pids` still lives
   */
  async read(pids: readonly number[] | undefined): Promise<{ snapshot: ContextSnapshot; isAlive: boolean }> {
    const asked = { gpus: this.#gpuProcesses(), pool: this.#pool.read() };
    // an error of one is thrown below, also when another failed first
    for (const promise of Object.values(asked)) promise.catch(() => undefined);
    const looks = await this.#look(pids ?? (await this.#candidates(asked.gpus)));
    const gpus = await asked.gpus;
    const pool = this.#pool.withOverhead(await asked.pool, gpus);
    const operations = await this.#operations(looks.seen, pool);
    const contexts = [...looks.seen].flatMap(([pid, seen]) => {
      // a GPU that it has only opened, or has given up in a checkpoint, has nothing of it
      const onGpus = gpus.filter((gpu) => gpu.pid === pid && gpu.usedBytes !== 0);
      const rows: (GpuProcess | undefined)[] = onGpus.length === 0 ? [undefined] : onGpus;
      return rows.map((gpu) => contextOf(pid, seen, operations.get(pid), gpu));
    });
    contexts.sort((a, b) => a.pid - b.pid || (a.deviceUuid ?? '').localeCompare(b.deviceUuid ?? ''));
    return { snapshot: { contexts, pool }, isAlive: looks.isAlive };
  }

  async #gpuProcesses(): Promise<GpuProcess[]> {
    try {
      return await listGpuProcesses(this.#gpuOptions);
    } catch (error) {
      if (error instanceof EnvironmentError) return []; // no NVML: the driver alone knows the states
      throw error;
    }
  }

  async #candidates(gpus: Promise<GpuProcess[]>): Promise<number[]> {
    const now = performance.now();
    const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const pids = new Set(names.map(Number));
    for (const known of [this.#known, this.#others]) {
      for (const pid of known.keys()) if (!pids.has(pid)) known.delete(pid);
    }
    for (const { pid } of await gpus) this.#others.delete(pid);
    return [...pids].filter((pid) => (this.#others.get(pid) ?? 0) <= now);
  }

  async #look(pids: readonly number[]): Promise<{ seen: Map<number, Seen>; isAlive: boolean }> {
    const seen = new Map<number, Seen>();
    let isAlive = false;
    const next = pids.values();
    const looker = async (): Promise<void> => {
      for (const pid of next) {
        const probe = await this.#probe(pid, this.#known.get(pid) ?? NONE);
        if (!hasEnded(probe)) isAlive = true;
        if (probe?.result === 0 && !hasEnded(probe))
          seen.set(pid, { probe, known: await this.#learn(pid, probe) });
        else this.#forget(pid);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, pids.length) }, looker));
    return { seen, isAlive };
  }

  /** No CUDA process, gone, or not for this user to see. */
  #forget(pid: number): void {
    this.#known.delete(pid);
    this.#others.set(pid, performance.now() + ASK_AGAIN_MS);
  }

  async #learn(pid: number, { startTime, comm, restoreTid, serviceTid }: Probe): Promise<Known> {
    const now = performance.now();
    let known = this.#known.get(pid);
    // a program that another one replaced by exec has a name of its own
    if (known?.startTime !== startTime || known.comm !== comm) {
      const [command, container] = await Promise.all([describeProcess(pid), readContainer(pid)]);
      known = { startTime, comm, command, container, restoreTid, serviceTid, sinceMs: now };
      this.#known.set(pid, known);
    }
    known.restoreTid = restoreTid;
    known.serviceTid = serviceTid;
    if (serviceTid === 0 && now - known.sinceMs > INTERCEPTOR_STARTED_MS) known.serviceTid = -1;
    return known;
  }

  async #operations(
    seen: ReadonlyMap<number, Seen>,
    pool: PoolUse | null,
  ): Promise<Map<number, KnownOperation>> {
    const operations = new Map<number, KnownOperation>();
    for (const one of pool?.operations ?? []) {
      if (pool && one.pid !== null) operations.set(one.pid, operationOf(pool.pid, one));
    }
    const isUnexplained = [...seen].some(([pid, { probe }]) => probe.isGated && !operations.has(pid));
    if (!isUnexplained) return operations;
    return new Map([...(await readFileOperations(this.#pool.runDir)), ...operations]);
  }
}
