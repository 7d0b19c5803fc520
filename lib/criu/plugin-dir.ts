// SPDX-License-Identifier: MIT
/**
 * Chooses the plugin that criu loads: the one rule for checkpoints, restores and containers.
 *
 * What the user typed is used, or refused. Otherwise the first of these that can do what is needed: what the container
 * was created for, CRIU_LIBS_DIR, what `criu-cuda install` has installed, the largest variant of the build, and what
 * else CRIU finds in its own directories. Whenever one of them is passed over, a note says which and why.
 * @module
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { inspectPlugin, isCudaPlugin, listPlugins, type PluginInfo } from '../inspect/index.ts';
import { learnedNow } from '../machine/index.ts';
import { type Environment, pluginDirectories, pluginFileName } from '../paths.ts';
import { isPluginVariant, pluginVariants, variantDir } from '../variant.ts';
import { restoreRefusal, variantsFor, type ImageNeeds } from './image-needs.ts';

/**
 * Which plugin criu loads.
 * @default one that can do what is needed: CRIU_LIBS_DIR, an installed one, or the largest variant of the build
 */
export interface PluginChoice {
  /** A variant from the C build. */
  variant?: string | undefined;
  /** A plugin directory; overrides `variant`. */
  libdir?: string | undefined;
}

/** A directory that is honored if its plugin can do what is needed. */
export interface PreferredDirectory {
  dir: string;
  /** Who named it, for messages: `CRIU_LIBS_DIR`. */
  from: string;
}

/** A plugin that criu loaded. */
export interface UsedPlugin {
  /** Absolute path of the file. */
  path: string;
  /** Its variant; `undefined` for another project's plugin. */
  variant: string | undefined;
  /** Its version; `undefined` for another project's plugin. */
  version: string | undefined;
}

/** The plugin that criu loads. */
export interface ChosenPlugin {
  /** The directory, for criu's `--libdir`. */
  dir: string;
  /** What is in it. */
  plugin: UsedPlugin;
  /** Which directories were passed over, and why: sentences for the user. */
  notes: string[];
}

/** What the choice is for. */
export interface PluginUse {
  env?: Environment | undefined;
  /** What the images need, for a restore. */
  needs?: ImageNeeds | undefined;
  /** Honored before CRIU_LIBS_DIR, in order. */
  preferred?: readonly PreferredDirectory[] | undefined;
  /** Where CRIU itself looks, in order. @default its own directories */
  systemDirs?: readonly string[] | undefined;
}

const hasPlugin = (dir: string): boolean => existsSync(join(dir, pluginFileName));

/** What matters of a plugin here. */
type KnownPlugin = Pick<PluginInfo, 'path' | 'kind' | 'variant' | 'version'>;

const isKnown = (value: unknown): value is KnownPlugin => {
  const { path, kind, variant, version } = (value ?? {}) as Record<string, unknown>;
  const isOptional = (one: unknown): boolean => one === undefined || typeof one === 'string';
  return typeof path === 'string' && typeof kind === 'string' && isOptional(variant) && isOptional(version);
};

/** What a file is. It is read once, as long as it does not change: that takes as long as a small restore. */
const knownPlugin = (path: string, env: Environment): KnownPlugin =>
  learnedNow(
    { question: 'plugin', programs: [resolve(path)] },
    isKnown,
    () => {
      const { kind, variant, version } = inspectPlugin(path);
      return { path, kind, variant, version };
    },
    env,
  );

/** The plugin in a directory. @throws an error if CRIU would load two CUDA plugins from it */
function pluginIn(dir: string, env: Environment): KnownPlugin {
  const plugins = listPlugins(dir)
    .map((path) => knownPlugin(path, env))
    .filter(isCudaPlugin);
  // CRIU loads every plugin it finds, and each would checkpoint the devices
  if (plugins.length > 1)
    throw new EnvironmentError(
      `${dir} contains ${plugins.length} CUDA plugins`,
      plugins.map(({ path, kind }) => ({ what: path, remedy: `${kind}: keep only one of them` })),
    );
  return plugins[0] ?? knownPlugin(join(dir, pluginFileName), env);
}

const nameOf = ({ kind, variant }: KnownPlugin): string =>
  variant ?? (kind === 'upstream-cuda' ? "CRIU's own plugin" : 'a plugin of another project');

/** What the user typed. @throws an error if it is not there, or cannot do what is needed */
function typedDirectory(choice: PluginChoice, env: Environment): string | undefined {
  const { libdir, variant } = choice;
  if (libdir !== undefined) {
    const dir = resolve(libdir);
    if (hasPlugin(dir)) return dir;
    throw new EnvironmentError(`${dir} does not contain ${pluginFileName}`, [
      { what: join(dir, pluginFileName), remedy: `criu-cuda install --libdir ${dir}` },
    ]);
  }
  if (variant === undefined) return undefined;
  if (!isPluginVariant(variant)) {
    throw new UsageError(
      `"${variant}" is not a variant of the plugin`,
      `variants: ${pluginVariants.join(', ')}`,
    );
  }
  const dir = variantDir(variant, env);
  if (hasPlugin(dir)) return dir;
  throw new EnvironmentError(`the plugin's variant ${variant} is not built`, [
    { what: join(dir, pluginFileName), remedy: `criu-cuda build --variant ${variant}` },
  ]);
}

const chosen = (dir: string, { path, variant, version }: KnownPlugin, notes: string[]): ChosenPlugin => ({
  dir,
  plugin: { path, variant, version },
  notes,
});

function checkTyped(plugin: KnownPlugin, dir: string, choice: PluginChoice, needs: ImageNeeds): void {
  const refusal = restoreRefusal(plugin.variant, needs);
  if (refusal === undefined) return;
  const [what, option] =
    choice.libdir === undefined
      ? [`variant ${nameOf(plugin)}`, '--variant']
      : [`${nameOf(plugin)} in ${dir}`, '--libdir'];
  throw new UsageError(
    `${what} ${refusal}`,
    `leave out ${option}, or choose ${variantsFor(needs) ?? 'another one'}`,
  );
}

/** The directories of the build, largest variant first. */
function builtDirectories(env: Environment): string[] {
  return [...pluginVariants]
    .reverse()
    .map((variant) => variantDir(variant, env))
    .filter(hasPlugin);
}

/** Why an installed plugin is passed over, as the rest of a sentence. */
function installedRefusal({ version }: KnownPlugin, built: KnownPlugin | undefined): string | undefined {
  const isOther = built?.version !== undefined && version !== built.version;
  return isOther ? `is of version ${version ?? 'unknown'}, and this is ${built.version}` : undefined;
}

/** The directories to try, those that somebody named first, each with what would rule it out. */
function* candidates(use: PluginUse, env: Environment): Generator<PreferredDirectory & { other?: string }> {
  const { preferred = [], systemDirs = pluginDirectories } = use;
  const built = builtDirectories(env);
  yield* preferred;
  if (env.CRIU_LIBS_DIR) yield { dir: resolve(env.CRIU_LIBS_DIR), from: 'CRIU_LIBS_DIR' };
  // it names a build, and that build is meant
  if (env.CRIU_CUDA_BUILD_DIR === undefined) {
    const [first] = built;
    for (const dir of systemDirs.filter(hasPlugin)) {
      const plugin = pluginIn(dir, env);
      if (plugin.kind !== 'criu-cuda') continue;
      const other = installedRefusal(plugin, first === undefined ? undefined : pluginIn(first, env));
      yield { dir, from: 'criu-cuda install', ...(other === undefined ? {} : { other }) };
    }
  }
  for (const dir of built) yield { dir, from: '' };
  for (const dir of systemDirs) yield { dir, from: '' };
}

function nothingFound(needs: ImageNeeds | undefined, notes: readonly string[]): EnvironmentError {
  const variants = needs && variantsFor(needs);
  if (variants === undefined)
    return new EnvironmentError('cannot find a CUDA plugin for CRIU', [
      { what: pluginFileName, remedy: 'criu-cuda setup, or criu-cuda install' },
    ]);
  return new EnvironmentError(
    [`cannot find a plugin that can restore ${needs?.images ?? ''}`, ...notes].join('; '),
    [{ what: `${pluginFileName}, variant ${variants}`, remedy: 'criu-cuda build, or criu-cuda install' }],
  );
}

/**
 * Chooses the plugin.
 * @throws {@link UsageError} the variant or directory that the user typed cannot restore these images
 * @throws {@link EnvironmentError} there is none that can do what is needed, or two in one directory
 */
export function choosePlugin(choice: PluginChoice, use: PluginUse = {}): ChosenPlugin {
  const { env = process.env, needs } = use;
  const typed = typedDirectory(choice, env);
  if (typed !== undefined) {
    const plugin = pluginIn(typed, env);
    if (needs) checkTyped(plugin, typed, choice, needs);
    return chosen(typed, plugin, []);
  }
  const passedOver: string[] = [];
  for (const { dir, from, other } of candidates(use, env)) {
    const says = from === '' ? '' : ` (${from})`;
    if (!hasPlugin(dir)) {
      if (from !== '') passedOver.push(`${dir}${says} does not contain ${pluginFileName}`);
      continue;
    }
    const plugin = pluginIn(dir, env);
    const refusal = other ?? (needs && restoreRefusal(plugin.variant, needs));
    if (refusal === undefined)
      return chosen(
        dir,
        plugin,
        passedOver.map((note) => `${note}: ${nameOf(plugin)} in ${dir} is used`),
      );
    if (from !== '') passedOver.push(`${nameOf(plugin)} in ${dir}${says} ${refusal}`);
  }
  throw nothingFound(needs, passedOver);
}

/** The directory of the plugin for a dump; see {@link choosePlugin}. */
export function findPluginDir(choice: PluginChoice, env: Environment = process.env): string {
  return choosePlugin(choice, { env }).dir;
}
