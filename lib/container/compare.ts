// SPDX-License-Identifier: MIT
/**
 * Compares the container in an archive with the one that was asked for. It may have less.
 * @module
 */
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import type { ContainerMount } from './edits.ts';
import type { ArchivedConfig } from './archive.ts';
import { seccompDifferences, seccompSchema } from './seccomp.ts';

/** podman's own since 4.3. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const strings = z.array(z.string()).nullish();

export const configSchema = z.looseObject({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  name: z.string().regex(/^[a-zA-Z0-9][\w.-]*$/),
  rootfsImageID: z.string().optional(),
  rootfsImageName: z.string().optional(),
  privileged: z.boolean().optional(),
  user: z.string().optional(),
  runtime: z.string().optional(),
  exitCommand: strings,
  labels: z.record(z.string(), z.string()).nullish(),
});

const specSchema = z.looseObject({
  process: z.looseObject({
    user: z.looseObject({ uid: z.int() }),
    capabilities: z.record(z.string(), strings).nullish(),
  }),
  mounts: z.array(
    z.looseObject({
      destination: z.string(),
      type: z.string().optional(),
      source: z.string().optional(),
      options: strings,
    }),
  ),
  hooks: z.record(z.string(), z.array(z.looseObject({ path: z.string() })).nullish()).nullish(),
  linux: z.looseObject({
    namespaces: z.array(z.looseObject({ type: z.string(), path: z.string().optional() })),
    seccomp: seccompSchema.optional(),
    maskedPaths: strings,
    readonlyPaths: strings,
    devices: z.array(z.looseObject({ path: z.string() })).nullish(),
    resources: z
      .looseObject({
        devices: z
          .array(z.looseObject({ allow: z.boolean(), type: z.string().optional(), major: z.int().nullish() }))
          .nullish(),
      })
      .nullish(),
  }),
});

type Config = z.infer<typeof configSchema>;
type Spec = z.infer<typeof specSchema>;

/** The container that was asked for. */
export interface Expected {
  /** Mounts with the same path in the container. */
  mounts: readonly ContainerMount[];
  /** Values of labels that later operations use as root: where the plugin is, and where images are. Any of a list. */
  labels: Readonly<Record<string, string | readonly string[]>>;
  /** Whether it may use the host's network. */
  hostNetwork: boolean;
  /** Whether it gets GPUs: device nodes, and the driver's libraries. */
  hasGpu: boolean;
  /** The user that its image names; `undefined` when the image is not here. */
  imageUser: string | undefined;
  /** Text of podman's seccomp profile. */
  seccomp: string;
}

const programDirs = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];

function programDifferences(config: Config, spec: Spec, { hasGpu }: Expected): string[] {
  const { runtime = 'runc', exitCommand } = config;
  const isKnown =
    ['runc', 'crun'].includes(basename(runtime)) &&
    (!runtime.includes('/') || programDirs.includes(dirname(runtime)));
  const isHookOfGpu = (path: string): boolean =>
    hasGpu && programDirs.includes(dirname(path)) && /^nvidia-(ctk|cdi-hook)$/.test(basename(path));
  const hooks = Object.values(spec.hooks ?? {}).flatMap((list) => (list ?? []).map(({ path }) => path));
  const [exit] = exitCommand ?? [];
  return [
    ...(isKnown ? [] : [`runtime: ${runtime} would run on the host`]),
    ...(exit === undefined || (basename(exit) === 'podman' && programDirs.includes(dirname(exit)))
      ? []
      : [`exit command: ${exit} would run on the host`]),
    ...hooks.filter((path) => !isHookOfGpu(path)).map((path) => `hook: ${path} would run on the host`),
  ];
}

function privilegeDifferences(config: Config, { process: { capabilities }, linux, mounts }: Spec): string[] {
  const caps = new Set(Object.values(capabilities ?? {}).flatMap((list) => list ?? []));
  const more = [...caps].filter((one) => !defaultCapabilities.includes(one));
  const unmasked = ['/proc/kcore', '/proc/keys', '/sys/firmware'].filter(
    (path) => linux.maskedPaths?.includes(path) !== true,
  );
  const writable = ['/proc/sys', '/proc/sysrq-trigger'].filter(
    (path) => linux.readonlyPaths?.includes(path) !== true,
  );
  const sys = mounts.some(({ type, options }) => type === 'sysfs' && options?.includes('ro') !== true);
  return [
    ...(config.privileged === true ? ['privileged: it is a privileged container'] : []),
    ...(more.length === 0 ? [] : [`capabilities: it has ${more.sort().join(', ')}`]),
    ...(unmasked.length === 0 ? [] : [`masks: it sees ${unmasked.join(', ')}`]),
    ...(writable.length === 0 ? [] : [`masks: it may write to ${writable.join(', ')}`]),
    ...(sys ? ['masks: it may write to /sys'] : []),
  ];
}

function userDifferences(config: Config, spec: Spec, { imageUser }: Expected): string[] {
  const { user = '', rootfsImageName = 'its image' } = config;
  const { uid } = spec.process.user;
  if (imageUser === undefined)
    return [`user: ${rootfsImageName} is not here to compare with; podman pull ${rootfsImageName}`];
  if (user !== imageUser)
    return [`user: it runs as "${user || 'root'}", its image names "${imageUser || 'root'}"`];
  const [name = ''] = imageUser.split(':');
  const isRoot = name === '' || name === 'root' || name === '0';
  const isRight = isRoot ? uid === 0 : /^\d+$/.test(name) ? uid === Number(name) : uid !== 0;
  return isRight ? [] : [`user: it runs with uid ${uid}, its image names "${imageUser || 'root'}"`];
}

const borrowed = /^(pid|net|ipc|uts|mount|user|cgroup)NsCtr$/;

function namespaceDifferences(config: Config, spec: Spec, { hostNetwork }: Expected): string[] {
  const { namespaces } = spec.linux;
  const needed = ['pid', 'ipc', 'uts', 'mount', ...(hostNetwork ? [] : ['network'])];
  const missing = needed.filter((type) => !namespaces.some((one) => one.type === type));
  const joined = namespaces.filter(
    ({ type, path }) =>
      path !== undefined &&
      path !== '' &&
      !(type === 'network' && /^\/(var\/)?run\/netns\/netns-[\w-]+$/.test(path)),
  );
  const others = Object.entries(config).filter(([key, value]) => borrowed.test(key) && value !== '');
  return [
    ...missing.map((type) => `namespaces: it has the host's ${type} namespace`),
    ...joined.map(({ type, path }) => `namespaces: its ${type} namespace is ${path ?? ''}`),
    ...others.map(([key, value]) => `namespaces: ${key} is ${JSON.stringify(value)}`),
  ];
}

const ownTypes = ['proc', 'sysfs', 'tmpfs', 'devpts', 'mqueue', 'cgroup'];
const driverFile =
  /\/(lib(cuda|nvidia|nvcuvid|nvoptix|EGL|GLES|GLX|vdpau)[^/]*|nvidia[^/]*|firmware\/nvidia\/.+)$/;

function mountDifferences(config: Config, spec: Spec, expected: Expected): string[] {
  // hosts, resolv.conf, shm …: podman writes them for each container
  const own = new RegExp(String.raw`^(/[^/]+)*/\w+-containers/${config.id}/userdata/[\w.-]+(/[\w.-]+)*$`);
  return spec.mounts.flatMap(({ destination, type = '', source = '', options }) => {
    const isBind = type === 'bind' || options?.some((one) => /^r?bind$/.test(one)) === true;
    if (!isBind) return ownTypes.includes(type) ? [] : [`mounts: ${destination} is of type "${type}"`];
    const isPlain = !source.split('/').includes('..');
    if (isPlain && own.test(source)) return [];
    const isReadOnly = options?.includes('ro') === true;
    const asked = expected.mounts.find(({ path }) => path === source && path === destination);
    if (asked) {
      return asked.readOnly && !isReadOnly
        ? [`mounts: it may write to ${source}, which should be read-only`]
        : [];
    }
    const isDriver = expected.hasGpu && isPlain && isReadOnly && driverFile.test(source);
    return isDriver ? [] : [`mounts: ${source} of the host is at ${destination}`];
  });
}

function deviceDifferences({ linux }: Spec, { hasGpu }: Expected): string[] {
  const nodes = (linux.devices ?? []).map(({ path }) => path);
  const others = nodes.filter((path) => !(hasGpu && /^\/dev\/(nvidia|dri\/)/.test(path)));
  const isOpen = (linux.resources?.devices ?? []).some(
    ({ allow, type, major }) => allow && (type === undefined || type === 'a' || typeof major !== 'number'),
  );
  return [
    ...(others.length === 0 ? [] : [`devices: it has ${others.join(', ')}`]),
    ...(isOpen ? ['devices: it may use any device'] : []),
  ];
}

function labelDifferences({ labels }: Config, expected: Expected): string[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => {
    const wanted = key.startsWith('criu-cuda.') ? expected.labels[key] : undefined;
    const accepted = typeof wanted === 'string' ? [wanted] : wanted;
    if (accepted === undefined || accepted.includes(value)) return [];
    return [`labels: ${key} is ${value}, not ${accepted[0] === '' ? 'empty' : (accepted[0] ?? '')}`];
  });
}

/**
 * Everything that an archived container has beyond the one that was asked for, one line each.
 * @throws `ZodError` when it is not a description by podman
 */
export function configDifferences(
  archived: Pick<ArchivedConfig, 'config' | 'spec'>,
  expected: Expected,
): string[] {
  const config = configSchema.parse(archived.config);
  const spec = specSchema.parse(archived.spec);
  return [
    ...privilegeDifferences(config, spec),
    ...seccompDifferences(spec.linux.seccomp, expected.seccomp, defaultCapabilities),
    ...userDifferences(config, spec, expected),
    ...namespaceDifferences(config, spec, expected),
    ...mountDifferences(config, spec, expected),
    ...deviceDifferences(spec, expected),
    ...programDifferences(config, spec, expected),
    ...labelDifferences(config, expected),
  ];
}
