// SPDX-License-Identifier: MIT
/**
 * One full round trip: a GPU program is checkpointed with real CRIU and the plugin, ends, is restored, and verifies
 * its device memory.
 * @module
 */
import { existsSync } from 'node:fs';
import { checkpoint, type CheckpointResult } from '../checkpoint/index.ts';
import { choosePlugin } from '../criu/index.ts';
import { EnvironmentError } from '../errors.ts';
import { checkRights } from '../machine/index.ts';
import { builtProgram, interceptorLibrary } from '../paths.ts';
import { usesInterceptor } from '../variant.ts';
import { becomeSubreaper, collectBackgroundProcesses, isAlive } from '../process/index.ts';
import { restore, type RestoredProcess, type RestoreResult } from '../restore/index.ts';
import { endProgram } from '../stop/index.ts';
import { Workload, type WorkloadStatus } from '../workload/index.ts';
import { chooseDriver, type DriverChoice } from '../gpu/index.ts';
import { createScratch, type Scratch } from './scratch.ts';
import { DemoError } from './error.ts';

const MIB = 2 ** 20;
const ALLOCATIONS = 4;
const DEFAULT_GPU_BYTES = 2048 * MIB;
const DEFAULT_SOFTWARE_BYTES = 256 * MIB;
/** Context state that a driver saves in addition to the program's own memory. */
const OVERHEAD_BYTES = 768 * MIB;
/** Memory of the software driver and the program in addition to the pattern. */
const SOFTWARE_OVERHEAD_BYTES = 64 * MIB;

/** Runs one step and shows its progress. */
export type ShowStep = <T>(title: string, run: () => Promise<T>) => Promise<T>;

export interface DemoOptions {
  /** Device memory of the program. @default 2 GiB on a GPU, 256 MiB on the software driver */
  bytes?: number | undefined;
  /** Use the software driver even when there is a GPU. @default false */
  software?: boolean | undefined;
  /** Keep the images. @default false */
  keep?: boolean | undefined;
  /** Variant of the plugin. @default the one that a checkpoint takes */
  variant?: string | undefined;
  signal?: AbortSignal | undefined;
  /** @default shows nothing */
  step?: ShowStep | undefined;
  /** Called as soon as the device is known. */
  onDevice?: ((device: WorkloadStatus, driver: DriverChoice) => void) | undefined;
}

export interface DemoResult {
  driver: DriverChoice;
  device: string;
  /** False on the software driver: its times say nothing about a GPU. */
  timesMeaningful: boolean;
  deviceBytes: number;
  allocations: number;
  /** Checksum of the device memory; it is the same before and after, or the demo fails. */
  checksum: string;
  checkpoint: CheckpointResult;
  restore: RestoreResult;
  /** Directory of the images, if they were kept. */
  imagesDir: string | undefined;
  /** Variant of the plugin; `undefined` for another project's. */
  variant: string | undefined;
  /** Variables that must be set to restore the images again. */
  env: Record<string, string>;
}

interface Evidence {
  checksum: string;
  addresses: string;
}

function environment(driver: DriverChoice, scratch: Scratch, bytes: number): Record<string, string> {
  return {
    CRIU_CUDA_RUN_DIR: scratch.runDir,
    ...(driver.library === undefined ? {} : { CRIU_CUDA_DRIVER: driver.library }),
    ...(driver.software
      ? {
          SOFTCUDA_DIR: scratch.devicesDir,
          SOFTCUDA_MEMORY_MB: String(Math.ceil((bytes + SOFTWARE_OVERHEAD_BYTES) / MIB)),
        }
      : {}),
  };
}

const examine = async (workload: Workload): Promise<Evidence> => ({
  checksum: await workload.verify(),
  addresses: await workload.addresses(),
});

function compare(before: Evidence, after: Evidence): void {
  if (before.checksum !== after.checksum) {
    throw new DemoError(
      'ERR_DEMO_CHECKSUM',
      `device memory changed: ${before.checksum} became ${after.checksum}`,
    );
  }
  if (before.addresses !== after.addresses) {
    throw new DemoError('ERR_DEMO_ADDRESSES', 'allocations are no longer at their addresses');
  }
}

async function checkGone(workload: Workload): Promise<void> {
  await workload.ended();
  if (isAlive(workload.pid))
    throw new DemoError('ERR_DEMO_ALIVE', `${workload.pid} is still running after its checkpoint`);
}

/** What one run of the demo has created, so that it can be removed at any point. */
class DemoRun {
  readonly driver: DriverChoice;
  readonly scratch: Scratch;
  readonly env: Record<string, string>;
  readonly #options: DemoOptions;
  readonly #step: ShowStep;
  readonly #bytes: number;
  readonly #variant: string | undefined;
  readonly #preload: boolean;
  #workload: Workload | undefined;
  #restored: RestoredProcess | undefined;

  constructor(options: DemoOptions, driver: DriverChoice) {
    this.#options = options;
    this.#variant = options.variant;
    this.#preload = usesInterceptor(choosePlugin({ variant: options.variant }).plugin.variant ?? '');
    this.#step = options.step ?? ((_title, run) => run());
    this.driver = driver;
    const { software } = driver;
    this.#bytes = options.bytes ?? (software ? DEFAULT_SOFTWARE_BYTES : DEFAULT_GPU_BYTES);
    // the software driver's devices are files, too
    const written = software ? 2 * this.#bytes + SOFTWARE_OVERHEAD_BYTES : this.#bytes + OVERHEAD_BYTES;
    this.scratch = createScratch(written);
    this.env = environment(this.driver, this.scratch, this.#bytes);
  }

  async #start(): Promise<Workload> {
    const each = `${Math.max(1, Math.floor(this.#bytes / ALLOCATIONS / 1024))}K`;
    this.#workload = await Workload.start({
      socketPath: this.scratch.socketPath,
      args: ['--alloc', `${each}x${ALLOCATIONS}`],
      env: {
        ...this.env,
        ...(this.#preload ? { LD_PRELOAD: interceptorLibrary() } : {}),
      },
    });
    return this.#workload;
  }

  async perform(): Promise<DemoResult> {
    const { signal, keep = false } = this.#options;
    const variant = this.#variant;
    const { imagesDir } = this.scratch;
    const shared = { imagesDir, variant, env: this.env, signal };
    const step = this.#step;
    const workload = await step('start a GPU program', () => this.#start());
    const status = await workload.status();
    this.#options.onDevice?.(status, this.driver);
    const before = await step('verify its device memory', () => examine(workload));
    const dumped = await step('checkpoint it', () => checkpoint({ ...shared, pid: workload.pid }));
    await checkGone(workload);
    const restored = await step('restore it', () => restore(shared));
    this.#restored = restored;
    compare(before, await step('verify its device memory again', () => examine(workload)));
    return {
      driver: this.driver,
      device: status.device,
      timesMeaningful: !status.software,
      deviceBytes: status.bytes,
      allocations: status.allocations,
      checksum: before.checksum,
      checkpoint: dumped,
      restore: restored.result,
      imagesDir: keep ? imagesDir : undefined,
      variant: dumped.plugin.variant,
      env: this.env,
    };
  }

  /** Ends the program, before or after its restore. */
  async end(): Promise<void> {
    await endProgram(this.#workload, { env: this.env });
    await this.#restored?.kill(0);
    await collectBackgroundProcesses();
    if (this.#options.keep !== true) this.scratch.remove();
  }

  /** The same without waiting, for when this process exits. */
  readonly endNow = (): void => {
    this.#workload?.killNow();
    if (this.#options.keep !== true) this.scratch.remove();
  };
}

/** Runs the demo, and cleans up in any case. @throws `ToolkitError` when a step fails */
export async function runDemo(options: DemoOptions = {}): Promise<DemoResult> {
  const program = builtProgram('workload-pattern');
  if (!existsSync(program)) {
    throw new EnvironmentError('the workload is not built', [{ what: program, remedy: 'criu-cuda build' }]);
  }
  checkRights('the demo');
  const run = new DemoRun(options, await chooseDriver(options.software ?? false));
  const undoSubreaper = becomeSubreaper();
  process.once('exit', run.endNow);
  try {
    return await run.perform();
  } finally {
    await run.end();
    process.off('exit', run.endNow);
    undoSubreaper();
  }
}
