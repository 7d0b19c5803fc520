// SPDX-License-Identifier: MIT
/**
 * Starts a container that can be checkpointed with its GPU memory.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { findPluginDir, type PluginChoice } from '../criu/index.ts';
import { loadSettings } from '../settings/index.ts';
import { makeDirectory } from '../directory.ts';
import { UsageError } from '../errors.ts';
import { inspectPlugin, type Preloadable } from '../inspect/index.ts';
import { pluginFileName } from '../paths.ts';
import { usesInterceptor } from '../variant.ts';
import { currentSystem, effectiveCapabilities, findOnPath } from '../machine/index.ts';
import { join, resolve } from 'node:path';
import { watchProcess, type OnTransfer } from '../process/index.ts';
import { containerEdits, editFlags, type ContainerEdits } from './edits.ts';
import { ContainerError } from './error.ts';
import { gpuFlags, type GpuAccess } from './gpu.ts';
import { fetchImage, imagePreloadable } from './image.ts';
import { checkRoot, podman, requireContainer, sayingWhatRuns, type ContainerInfo } from './podman.ts';
import { findPreset } from './presets.ts';
import { containerPluginDir } from './runtime.ts';
import { checkName, checkPath } from '../check.ts';

/** Labels of a container that tell later operations how it was created. */
export const labels = {
  libdir: 'criu-cuda.libdir',
  runDir: 'criu-cuda.run-dir',
  preset: 'criu-cuda.preset',
  store: 'criu-cuda.store',
} as const;

/** podman's seccomp profile without io_uring, if setup has written it. */
export const seccompProfile = '/etc/criu-cuda/seccomp.json';

/** The container to start. */
export interface ContainerCreateOptions extends PluginChoice {
  /** Letters, digits, `_`, `.` and `-`. */
  name: string;
  /** The container image. */
  image: string;
  /** Command to run in the container. @default the one of the image */
  command?: readonly string[] | undefined;
  /** @default plain */
  preset?: string | undefined;
  /**
   * Directory for its images, such as a huge-page tmpfs. The container sees its own directory there, read-only: what the
   * driver saved is then mapped from page files instead of being copied.
   * @default podman's own, which no container sees
   */
  store?: string | undefined;
  /** How the container gets GPUs. @default cdi on a machine with a GPU, otherwise none */
  gpu?: GpuAccess | undefined;
  /** More flags of `podman run`. */
  podmanArgs?: readonly string[] | undefined;
  /** Stops podman. */
  signal?: AbortSignal | undefined;
  /**
   * Called about three times per second with the bytes that podman reads while it fetches the image. Nothing tells how
   * many there are: the total is infinite.
   */
  onTransfer?: OnTransfer | undefined;
}

const readProc = (name: string): string => readFileSync(`/proc/${name}`, 'utf8');

interface Limit {
  name: string;
  soft: string;
  hard: string;
}

const limitNames: Readonly<Record<string, string>> = {
  'Max open files': 'nofile',
  'Max processes': 'nproc',
};

/**
 * podman requests higher limits of files and processes than this process has, and raising a limit needs
 * CAP_SYS_RESOURCE. podman itself has lowered the limit of processes to the system's largest pid.
 */
export function limitFlags(status: string, limits: string, pidMax: number): string[] {
  if (effectiveCapabilities(status).has('CAP_SYS_RESOURCE')) return [];
  const found = limits.split('\n').flatMap((line): Limit[] => {
    const [, title = '', soft = '', hard = ''] =
      /^(.+?)\s{2,}(\d+|unlimited)\s+(\d+|unlimited)/.exec(line) ?? [];
    const name = limitNames[title];
    return name === undefined ? [] : [{ name, soft, hard }];
  });
  const value = (name: string, text: string): number => {
    const most = name === 'nproc' ? pidMax : Infinity;
    const limit = Math.min(text === 'unlimited' ? Infinity : Number(text), most);
    return limit === Infinity ? -1 : limit;
  };
  return found.flatMap(({ name, soft, hard }) => [
    '--ulimit',
    `${name}=${value(name, soft)}:${value(name, hard)}`,
  ]);
}

/** The flags for this process: a daemon that was started with fewer limits has to be asked for fewer. */
export const currentLimitFlags = (): string[] =>
  limitFlags(readProc('self/status'), readProc('self/limits'), Number(readProc('sys/kernel/pid_max')));

/** The flags for the system-call filter without io_uring, if setup has written it. */
export const seccompFlags = (): string[] =>
  existsSync(seccompProfile) ? ['--security-opt', `seccomp=${seccompProfile}`] : [];

/** runc can always checkpoint; crun only if it was built with CRIU. */
function runtimeFlags(): string[] {
  const { env, sbinPath } = currentSystem();
  const runc = findOnPath('runc', env.PATH) ?? findOnPath('runc', sbinPath);
  return runc === undefined ? [] : ['--runtime', runc];
}

/** The container's own directory in the store. */
function storeOf({ store, name }: ContainerCreateOptions): string | undefined {
  return store === undefined ? undefined : join(resolve(store), name);
}

/** podman's profile without io_uring, or podman's own. */
export const profileInUse = (): string =>
  existsSync(seccompProfile) ? seccompProfile : '/usr/share/containers/seccomp.json';

/** Whether the plugin's variant moves memory of programs with the interceptor. */
function wantsInterceptor(choice: PluginChoice): boolean {
  const plugin = join(findPluginDir({ libdir: containerPluginDir(choice) }), pluginFileName);
  return usesInterceptor(inspectPlugin(plugin).variant ?? '');
}

/** What a container gets for its variant. */
export const expectedEdits = (choice: PluginChoice): ContainerEdits =>
  containerEdits(wantsInterceptor(choice));

/**
 * The arguments of podman.
 * @param intercept whether its programs get the interceptor
 */
export function createArguments(
  options: ContainerCreateOptions,
  intercept: boolean = wantsInterceptor(options),
): string[] {
  const { name, image, command = [], preset = 'plain', podmanArgs = [] } = options;
  checkName('name', name);
  checkName('image', image);
  if (!/^[a-zA-Z0-9][\w.-]*$/.test(name)) throw new UsageError(`"${name}" is not a name for a container`);
  if (options.store !== undefined) checkPath('store', options.store);
  const { parts } = findPreset(preset);
  const store = storeOf(options);
  const libdir = containerPluginDir(options);
  const marks = {
    [labels.libdir]: libdir,
    [labels.runDir]: loadSettings().settings.CRIU_CUDA_RUN_DIR,
    [labels.preset]: preset,
    ...(store === undefined ? {} : { [labels.store]: store }),
  };
  return [
    ...runtimeFlags(),
    'run',
    '--detach',
    ...['--name', name],
    ...Object.entries(marks).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...currentLimitFlags(),
    ...seccompFlags(),
    ...gpuFlags(options.gpu),
    ...parts.flatMap((part) => part.podman ?? []),
    ...parts.flatMap((part) =>
      Object.entries(part.env ?? {}).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ),
    ...editFlags(containerEdits(intercept)),
    ...(store === undefined ? [] : ['--volume', `${store}:${store}:ro`]),
    ...podmanArgs,
    image,
    ...command.slice(0, 1),
    // the last one of repeated arguments counts: the caller's
    ...parts.flatMap((part) => part.args ?? []),
    ...command.slice(1),
  ];
}

/** How soon a program ends that cannot run at all. Milliseconds. */
const AT_ONCE_MS = 300;

/** Lines of a program's output in the error about its end. */
const TAIL_LINES = 10;

/**
 * Waits until it is clear that the program of a new container runs.
 * @returns the container as it is then; not running if its program has ended with exit code 0
 * @throws {@link ContainerError} ERR_CONTAINER_STATE with the exit code and the last output
 */
async function settled(name: string, signal: AbortSignal | undefined): Promise<ContainerInfo> {
  const started = await requireContainer(name);
  const program = started.isRunning ? watchProcess(started.pid) : undefined;
  try {
    const hasEnded = program === undefined || (await program.ended({ timeoutMs: AT_ONCE_MS, signal }));
    if (!hasEnded) return started;
  } finally {
    program?.close();
  }
  const { stdout: code } = await podman(['wait', name], { signal });
  const ended = await requireContainer(name);
  if (code.trim() === '0') return ended;
  const { stdout, stderr } = await podman(['logs', '--tail', String(TAIL_LINES), name], { signal });
  throw new ContainerError(
    'ERR_CONTAINER_STATE',
    [`${name} has ended at once with exit code ${code.trim()}`, stdout.trim(), stderr.trim()]
      .filter((text) => text !== '')
      .join('\n'),
    { hint: `all of its output: podman logs ${name}; to remove it: criu-cuda container remove ${name}` },
  );
}

/** A container that was started. */
export interface CreatedContainer extends ContainerInfo {
  /** Why its programs do not get the interceptor, although the variant uses it: one sentence without a full stop. */
  withoutInterceptor?: string | undefined;
}

/**
 * Starts a container. If programs of its image cannot have the interceptor, it is left out, and the driver moves all
 * device memory.
 * @returns the container; it has ended already if its program had nothing to do
 * @throws {@link ContainerError} ERR_CONTAINER_STATE when its program fails at once
 */
export async function createContainer(options: ContainerCreateOptions): Promise<CreatedContainer> {
  const { name, image, signal, podmanArgs = [] } = options;
  const store = storeOf(options);
  // refuses wrong options before podman fetches the image
  let args = createArguments(options);
  checkRoot(`container ${name}`);
  const how = signal === undefined ? {} : { signal };
  const intercepts = wantsInterceptor(options);
  // what nobody watches or interrupts is left to podman run, unless it is looked at before
  if (intercepts || options.onTransfer || signal)
    await fetchImage(image, podmanArgs, how, options.onTransfer);
  const found: Preloadable = intercepts ? await imagePreloadable(image, podmanArgs, how) : { ok: true };
  if (!found.ok) args = createArguments(options, false);
  if (store !== undefined) makeDirectory(store, 0o700);
  // it takes a moment, and a container that is half made is of no use
  const finish = (): void => undefined;
  const created = await sayingWhatRuns(name, `criu-cuda container remove ${name} ends it`, async () => {
    await podman(args, { ...how, endEarly: finish });
    return settled(name, signal);
  });
  return { ...created, ...(found.ok ? {} : { withoutInterceptor: found.reason }) };
}
