// SPDX-License-Identifier: MIT
/**
 * Decides whether the container in a tar file is restored, and removes what a failed import has made.
 * @module
 */
import { existsSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../directory.ts';
import { describeError } from '../errors.ts';
import { execResult } from '../exec.ts';
import { loadSettings } from '../settings/index.ts';
import { checkPath } from '../check.ts';
import { imageNeeds, type ImageNeeds, type PluginChoice } from '../criu/index.ts';
import { readArchive, type ArchivedConfig } from './archive.ts';
import { configDifferences, configSchema, type Expected } from './compare.ts';
import { ConvertedArchive, criOptions, imageOf, isCriArchive, podmanArchive } from './cri.ts';
import { expectedEdits, labels, profileInUse } from './create.ts';
import { ContainerError } from './error.ts';
import { hasGpu, type GpuAccess } from './gpu.ts';
import { findContainer, podmanProgram, podmanRemove } from './podman.ts';
import { findPreset } from './presets.ts';
import { containerPluginDir } from './runtime.ts';
import { pluginDirectories } from '../paths.ts';
import { pluginVariants, variantDir } from '../variant.ts';

/** What the container in an archive may have. */
export interface ImportOptions extends PluginChoice {
  /** Name of the new container. @default the one in the archive */
  name?: string | undefined;
  /** The preset it was created with. @default plain */
  preset?: string | undefined;
  /** How it gets GPUs. @default cdi on a machine with a GPU, otherwise none */
  gpu?: GpuAccess | undefined;
  /** The store it was created with. @default none */
  store?: string | undefined;
  /** Restore it with the privileges, mounts and user that the archive names, whatever they are. @default false */
  acceptConfig?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

type Config = z.infer<typeof configSchema>;

async function userOfImage({ rootfsImageID, rootfsImageName }: Config): Promise<string | undefined> {
  for (const image of [rootfsImageID, rootfsImageName]) {
    if (image === undefined || !/^[\w][\w.:/@-]*$/.test(image)) continue;
    const words = ['image', 'inspect', '--format', '{{.Config.User}}', image];
    const { stdout, exitCode } = await execResult(podmanProgram(), words);
    if (exitCode === 0) return stdout.trim();
  }
  return undefined;
}

/** The directory for images that the container has mounted. */
function storeOf(config: Config, { store, acceptConfig }: ImportOptions): string | undefined {
  if (store !== undefined) return join(resolve(store), config.name);
  return acceptConfig === true ? config.labels?.[labels.store] : undefined;
}

/** Where a container may have its plugin: with this package, or where CRIU looks. The first one is what was asked for. */
function pluginDirectoriesFor(choice: PluginChoice): string[] {
  return [
    containerPluginDir(choice),
    ...pluginVariants.map((variant) => variantDir(variant)),
    ...pluginDirectories,
  ];
}

async function expectedFor(config: Config, options: ImportOptions): Promise<Expected> {
  const { preset = 'plain', gpu = hasGpu() ? 'cdi' : 'none' } = options;
  const flags = findPreset(preset).parts.flatMap((part) => part.podman ?? []);
  const { mounts } = expectedEdits(options);
  const images = storeOf(config, options);
  return {
    mounts: images === undefined ? mounts : [...mounts, { path: images, readOnly: true }],
    labels: {
      [labels.libdir]: pluginDirectoriesFor(options),
      [labels.runDir]: loadSettings().settings.CRIU_CUDA_RUN_DIR,
      [labels.store]: images ?? '',
    },
    hostNetwork: flags.join(' ').includes('--network host'),
    hasGpu: gpu !== 'none',
    imageUser: await userOfImage(config),
    seccomp: readFileSync(profileInUse(), 'utf8'),
  };
}

function parseConfig(file: string, { config }: ArchivedConfig): Config {
  const parsed = configSchema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new ContainerError('ERR_CONTAINER_IMPORT', `cannot read config.dump in ${file}`, {
    cause: parsed.error,
  });
}

function differences(file: string, archived: ArchivedConfig, expected: Expected): string[] {
  try {
    return configDifferences(archived, expected);
  } catch (cause) {
    if (!(cause instanceof z.ZodError)) throw cause;
    throw new ContainerError('ERR_CONTAINER_IMPORT', `cannot read spec.dump in ${file}`, { cause });
  }
}

/** An import that has begun. */
export class Import {
  /** What a restore of its images needs of the plugin. */
  readonly needs: ImageNeeds;
  /** The tar file for podman. */
  readonly file: string;
  /** Lines of criu's configuration that the images need. */
  readonly criuOptions: readonly string[];
  readonly #name: string;
  readonly #made: readonly string[];
  readonly #converted: ConvertedArchive | undefined;

  private constructor(
    file: string,
    name: string,
    needs: ImageNeeds,
    made: readonly string[],
    converted?: ConvertedArchive,
  ) {
    this.file = converted?.file ?? file;
    this.criuOptions = converted === undefined ? [] : criOptions;
    this.#name = name;
    this.needs = needs;
    this.#made = made;
    this.#converted = converted;
  }

  /**
   * Compares the archive with what was asked for, and makes the directory that its container has mounted.
   * @throws {@link ContainerError} ERR_CONTAINER_IMPORT with every difference
   */
  static async begin(file: string, options: ImportOptions): Promise<Import> {
    if (options.store !== undefined) checkPath('store', options.store);
    const read = await readArchive(file, options.signal);
    const archived = isCriArchive(read) ? podmanArchive(read, await imageOf(file, read)) : read;
    const config = parseConfig(file, archived);
    if (options.acceptConfig !== true) {
      const found = differences(file, archived, await expectedFor(config, options));
      if (found.length > 0) {
        throw new ContainerError(
          'ERR_CONTAINER_IMPORT',
          `${file} is not restored: its container has more than was asked for\n${found.map((one) => `- ${one}`).join('\n')}`,
          {
            hint: 'pass the --preset, --gpu, --variant and --store it was created with, or --accept-config if you trust the archive',
          },
        );
      }
    }
    const name = options.name ?? config.name;
    if (await findContainer(name))
      throw new ContainerError('ERR_CONTAINER_STATE', `there is a container ${name} already`, {
        hint: 'choose another name: criu-cuda container restore --import FILE NAME',
      });
    const needs = imageNeeds(file, archived.images);
    const converted =
      archived === read ? undefined : await ConvertedArchive.write(file, archived, options.signal);
    return new Import(file, name, needs, makeStore(storeOf(config, options)), converted);
  }

  /** Removes what was only needed for the import. */
  close(): void {
    this.#converted?.remove();
  }

  /** podman's directory for the container, where criu's log is. @returns `undefined` if none was made */
  async logDir(): Promise<string | undefined> {
    return (await findContainer(this.#name))?.dir;
  }

  /**
   * Removes the container, if it was made, and the directory for its images.
   * @param failure of the import
   * @throws {@link ContainerError} ERR_CONTAINER_RESTORE with that failure and what is left, when not all can be removed
   */
  async undo(failure: unknown): Promise<void> {
    try {
      const container = await findContainer(this.#name);
      if (container) await podmanRemove(container.id);
      for (const dir of this.#made) if (existsSync(dir)) rmdirSync(dir);
    } catch (error) {
      throw new ContainerError(
        'ERR_CONTAINER_RESTORE',
        `${describeError(failure)}; and what was made is not removed: ${describeError(error)}`,
        { hint: `criu-cuda container remove ${this.#name}`, cause: failure },
      );
    }
  }
}

/** @returns the directories that were made, innermost first */
function makeStore(store: string | undefined): string[] {
  if (store === undefined) return [];
  const made: string[] = [];
  for (let dir = resolve(store); !existsSync(dir); dir = dirname(dir)) made.push(dir);
  makeDirectory(store, 0o700);
  return made;
}
