// SPDX-License-Identifier: MIT
/**
 * Prepares a machine for checkpointing containers. Each step can be shown before it runs. Files that setup did not
 * write are never overwritten.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { settingsTemplate } from '../../settings/index.ts';
import { configuredLibdir, runtimeConfig, seccompProfile, settingVariables } from '../../container/index.ts';
import { EnvironmentError, UsageError } from '../../errors.ts';
import { formatBytes } from '../../output.ts';
import { defaultConfigFile, defaultRunDir, type Environment } from '../../paths.ts';
import type { ProgressListener } from '../../progress.ts';
import { installPackages, missingPackages } from '../packages.ts';
import {
  dockerConfig,
  engineDaemons,
  findCriu,
  findOnPath,
  sudoCommand,
  type System,
} from '../../machine/index.ts';
import { SetupRecord, type PathState, type UndoneSetup } from './record.ts';
import { SetupError } from '../error.ts';

/** What containers are to have. */
export interface ContainerSetupOptions {
  /** Directory of the plugin to checkpoint containers with. */
  libdir: string;
  /**
   * Whether the own commands of podman, Docker, containerd and runc use that plugin. The file that says so takes precedence
   * over what a container of this program asks for. @default true
   */
  plainPodman?: boolean | undefined;
  /** Mounts a tmpfs for images. */
  store?:
    | {
        /** Size of the tmpfs. */
        bytes: number;
        /** Whether it consists of huge pages. */
        hugePages: boolean;
      }
    | undefined;
  /** Writes the settings that this project's programs take from the environment. */
  envFile?: string | undefined;
  /** @default / */
  root?: string | undefined;
  /** The environment that settings are read from. */
  env?: Environment | undefined;
}

/** One thing to be done. */
export interface ContainerSetupStep {
  /** What the step creates. */
  what: string;
  /** Whether it is done, can be done, or is in the way. */
  state: PathState;
  /** What to do by hand if something else is in the way. */
  byHand: string;
  /** Runs it. @throws `SetupError` ERR_HOST when it fails */
  run(report: ProgressListener): Promise<void>;
}

/** Directory for images. */
export const storeDir = '/var/lib/criu-cuda/images';

const packages = ['podman', 'runc'] as const;
const podmanProfile = '/usr/share/containers/seccomp.json';
const ownerText = '# Written by `criu-cuda container setup`; `--undo` removes it.\n';

interface Place {
  system: System;
  record: SetupRecord;
  root: string;
}

function fileStep(
  place: Place,
  path: string,
  content: string,
  what: string,
  byHand: string,
): ContainerSetupStep {
  const full = join(place.root, path);
  return {
    what: `${path}: ${what}`,
    state: place.record.fileState(full, content),
    byHand,
    run: () => {
      place.record.writeFile(full, content);
      return Promise.resolve();
    },
  };
}

async function packageStep({ system }: Place): Promise<ContainerSetupStep> {
  const missing = await missingPackages(system, packages);
  return {
    what: `packages ${packages.join(', ')}`,
    state: missing.length === 0 ? 'done' : 'free',
    byHand: `apt-get install ${packages.join(' ')}`,
    run: (report) => installPackages(system, missing, report),
  };
}

async function criuStep({ system, record, root }: Place): Promise<ContainerSetupStep> {
  const { criu } = await findCriu(system);
  if (!criu) throw new EnvironmentError('no usable CRIU', [{ what: 'criu', remedy: 'criu-cuda setup' }]);
  const path = join(root, 'usr/local/sbin/criu');
  // daemons have a PATH of their own
  const isFound =
    criu.origin === 'path' &&
    engineDaemons(system, root).every((daemon) => findOnPath('criu', daemon.path) !== undefined);
  return {
    what: isFound ? `criu on PATH: ${criu.path}` : `/usr/local/sbin/criu, a link to ${criu.path}, for runc`,
    state: isFound ? 'done' : record.linkState(path, criu.path),
    byHand: `make ${criu.path} the first criu on PATH`,
    run: () => {
      record.makeLink(path, criu.path);
      return Promise.resolve();
    },
  };
}

const profileSchema = z.looseObject({ syscalls: z.array(z.looseObject({ names: z.array(z.string()) })) });

/** A seccomp profile without io_uring, which CRIU cannot dump: programs fall back to epoll. */
export function withoutIoUring(profile: string): string {
  const parsed = profileSchema.safeParse(JSON.parse(profile));
  if (!parsed.success) throw new SetupError('ERR_HOST', "podman's seccomp profile has an unknown format");
  const syscalls = parsed.data.syscalls
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !name.startsWith('io_uring_')) }))
    .filter((rule) => rule.names.length > 0);
  return `${JSON.stringify({ ...parsed.data, syscalls }, null, 1)}\n`;
}

function seccompStep(place: Place): ContainerSetupStep[] {
  const source = join(place.root, podmanProfile);
  // it comes with podman's packages, which a dry run has not installed
  const content = existsSync(source) ? withoutIoUring(readFileSync(source, 'utf8')) : '';
  const what = "podman's seccomp profile without io_uring";
  const step = fileStep(
    place,
    seccompProfile,
    content,
    what,
    `write a copy of ${podmanProfile} without io_uring there`,
  );
  return [
    {
      ...step,
      run: () => {
        const profile = withoutIoUring(readFileSync(source, 'utf8'));
        place.record.writeFile(join(place.root, seccompProfile), profile);
        return Promise.resolve();
      },
    },
  ];
}

/** The file of `criu-cuda config init`, with the values that the environment sets. */
export function settingsText(env: Environment): string {
  const values = settingVariables(env);
  const lines = settingsTemplate()
    .split('\n')
    .map((line) => {
      const key = /^#(CRIU_CUDA_\w+) =/.exec(line)?.[1] ?? '';
      const value = values[key];
      return value === undefined ? line : `${key} = ${value}`;
    });
  return `${ownerText}${lines.join('\n')}`;
}

function isMounted(root: string, path: string): boolean {
  const mounts = readFileSync(join(root, 'proc/self/mounts'), 'utf8').split('\n');
  return mounts.some((line) => line.split(' ')[1] === path);
}

function storeStep({ system, record, root }: Place, bytes: number, hugePages: boolean): ContainerSetupStep {
  const path = join(root, storeDir);
  const options = [`size=${bytes}`, 'mode=0700', ...(hugePages ? ['huge=always'] : [])].join(',');
  return {
    what: `${storeDir}: tmpfs of ${formatBytes(bytes)}${hugePages ? ' in huge pages' : ''}, until the next reboot`,
    state: isMounted(root, path) ? (record.isOurs(path) ? 'done' : 'foreign') : 'free',
    byHand: `mount -t tmpfs -o ${options} criu-cuda ${storeDir}`,
    run: async () => {
      record.makeDirectory(path, 0o700);
      const { exitCode, stderr } = await system.run('mount', [
        '-t',
        'tmpfs',
        '-o',
        options,
        'criu-cuda',
        path,
      ]);
      if (exitCode !== 0) throw new SetupError('ERR_HOST', `cannot mount ${path}: ${stderr.trim()}`);
      record.addMount(path);
    },
  };
}

function envStep(place: Place, path: string, libdir: string, env: Environment): ContainerSetupStep {
  const lines = Object.entries({ ...settingVariables(env), CRIU_LIBS_DIR: libdir }).map(
    ([key, value]) => `${key}=${value}`,
  );
  return fileStep(place, path, `${ownerText}${lines.join('\n')}\n`, 'settings for scripts', lines.join('; '));
}

/** A file that setup did not write is accepted if it names the same plugin. */
function runtimeStep(place: Place, libdir: string): ContainerSetupStep {
  const line = `libdir ${libdir}`;
  const step = fileStep(place, runtimeConfig, `${ownerText}${line}\n`, `plugin ${libdir}`, line);
  return configuredLibdir(join(place.root, runtimeConfig)) === libdir ? { ...step, state: 'done' } : step;
}

/** Docker has checkpoints only with its experimental features. Its settings are not changed when there are some. */
function experimentalStep(place: Place): ContainerSetupStep[] {
  const docker = engineDaemons(place.system, place.root).find(({ name }) => name === 'dockerd');
  if (docker === undefined) return [];
  const content = `${JSON.stringify({ experimental: true }, null, 2)}\n`;
  const restart = docker.pid === undefined ? '' : '; restart dockerd afterwards';
  const what = `experimental features, which docker checkpoint needs${restart}`;
  const byHand = `"experimental": true in ${dockerConfig}${restart}`;
  const step = fileStep(place, dockerConfig, content, what, byHand);
  return [docker.isExperimental ? { ...step, state: 'done' } : step];
}

/** All steps, in order. Changes nothing. */
export async function planContainerSetup(
  system: System,
  options: ContainerSetupOptions,
): Promise<ContainerSetupStep[]> {
  const { libdir, plainPodman = true, store, envFile, root = '/', env = process.env } = options;
  if (root === '/' && !system.isRoot)
    throw new EnvironmentError('setup must run as root', [
      { what: 'root', remedy: `run it as root: ${sudoCommand()}` },
    ]);
  if (envFile !== undefined && !envFile.startsWith('/'))
    throw new UsageError(`${envFile} is not an absolute path`);
  const place: Place = { system, record: SetupRecord.read(root), root };
  const runDir = settingVariables(env).CRIU_CUDA_RUN_DIR ?? defaultRunDir;
  return [
    await packageStep(place),
    await criuStep(place),
    ...seccompStep(place),
    ...(plainPodman ? [runtimeStep(place, libdir), ...experimentalStep(place)] : []),
    fileStep(
      place,
      defaultConfigFile,
      settingsText(env),
      'settings of the plugin',
      'see criu-cuda config show',
    ),
    fileStep(
      place,
      '/etc/tmpfiles.d/criu-cuda.conf',
      // a run of criu moves the status files of earlier ones to the history
      `${ownerText}d ${runDir} 0700 root root -\nd ${join(runDir, 'history')} 0700 root root 30d\n`,
      `creates ${runDir} at every boot, and removes what is older than 30 days from its history`,
      `d ${runDir} 0700 root root -`,
    ),
    ...(store === undefined ? [] : [storeStep(place, store.bytes, store.hugePages)]),
    ...(envFile === undefined ? [] : [envStep(place, envFile, libdir, env)]),
  ];
}

/** Takes back what {@link planContainerSetup}'s steps did; packages stay. */
export async function undoContainerSetup(system: System, root = '/'): Promise<UndoneSetup> {
  return SetupRecord.read(root).undo(async (path) => {
    if (!isMounted(root, path)) return;
    const { exitCode, stderr } = await system.run('umount', [path]);
    if (exitCode !== 0) {
      throw new SetupError('ERR_HOST', `cannot unmount ${path}: ${stderr.trim()}`, {
        hint: 'remove the containers that have their images there: criu-cuda container remove NAME',
      });
    }
  });
}
