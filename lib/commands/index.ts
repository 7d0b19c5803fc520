// SPDX-License-Identifier: MIT
/**
 * Every command of the CLI, in the order `--help` shows them. A command is one small file: options, one call to the
 * library, one result. Its file is loaded when it is used.
 * @module
 */
import type { CommandEntry } from './table.ts';

export { addCommands, loadAllCommands, type CommandEntry } from './table.ts';

/** The groups of `--help`, in order, and the commands in them. */
const groups: readonly (readonly [heading: string, commands: readonly CommandEntry[]])[] = [
  [
    'Dump and restore:',
    [
      {
        name: 'run',
        description: 'run a program that can be checkpointed; forward signals and exit with its status',
        load: async () => (await import('./process/run.ts')).defineRun,
      },
      {
        name: 'check',
        description:
          'say whether a process tree can be dumped, and every reason why not, without touching it',
        load: async () => (await import('./process/check.ts')).defineCheck,
      },
      {
        name: 'checkpoint',
        description: 'write a process tree with its device memory to a directory, then end it',
        load: async () => (await import('./process/checkpoint.ts')).defineCheckpoint,
      },
      {
        name: 'restore',
        description: 'restore a process tree, wait until it ends, and exit with its status',
        load: async () => (await import('./process/restore.ts')).defineRestore,
      },
      {
        name: 'wake',
        description: 'resume a process tree that was restored with --leave-stopped',
        load: async () => (await import('./process/wake.ts')).defineWake,
      },
      {
        name: 'stop',
        description: 'end a process tree; the driver takes its CUDA processes off the GPU first',
        load: async () => (await import('./process/stop.ts')).defineStop,
      },
      {
        name: 'status',
        description:
          'show the latest dumps and restores of any engine: what went through what, and why one failed',
        load: async () => (await import('./status.ts')).defineStatus,
      },
    ],
  ],
  [
    'GPUs, processes and images:',
    [
      {
        name: 'gpu',
        description: 'list the GPUs: memory, address, link, driver; CUDA is not initialized',
        load: async () => (await import('./machine/gpu.ts')).defineGpu,
      },
      {
        name: 'process',
        description: "look at CUDA processes, or run one of the driver's checkpoint steps",
        load: async () => (await import('./process/process.ts')).defineProcess,
      },
      {
        name: 'context',
        description: 'what processes have on GPUs, and who has their memory',
        load: async () => (await import('./context.ts')).defineContext,
      },
      {
        name: 'image',
        description: "inspect GPU images and page files, which hold memory outside of CRIU's images",
        load: async () => (await import('./image.ts')).defineImage,
      },
    ],
  ],
  [
    'Fast restores:',
    [
      {
        name: 'pool',
        description: 'control the pool daemon, which keeps contexts ready and images in device memory',
        load: async () => (await import('./pool.ts')).definePool,
      },
      {
        name: 'advise',
        description:
          'say which variant and settings to use, how long a restore takes, and what would make it faster',
        load: async () => (await import('./machine/advise.ts')).defineAdvise,
      },
      {
        name: 'bench',
        description: 'measure dump and restore, and report what was measured',
        load: async () => (await import('./bench/index.ts')).defineBench,
      },
    ],
  ],
  [
    'Containers:',
    [
      {
        name: 'container',
        description: 'create, checkpoint and restore podman containers',
        load: async () => (await import('./container/container.ts')).defineContainer,
      },
      {
        name: 'golden',
        description: 'checkpoint a warmed-up server in a container once, and restore it any number of times',
        load: async () => (await import('./container/golden.ts')).defineGolden,
      },
      {
        name: 'presets',
        description: 'show how to start common servers, and what each option saves and costs',
        load: async () => (await import('./container/container.ts')).definePresets,
      },
      {
        name: 'cdi',
        description: 'describe what a container needs as a CDI device',
        load: async () => (await import('./container/cdi.ts')).defineCdi,
      },
    ],
  ],
  [
    'This machine:',
    [
      {
        name: 'doctor',
        description: 'check this machine: what it has, what is missing, and how to get it',
        load: async () => (await import('./machine/doctor.ts')).defineDoctor,
      },
      {
        name: 'setup',
        description: 'install what is missing: Debian packages, CRIU, and criu-cuda in PATH',
        load: async () => (await import('./machine/setup.ts')).defineSetup,
      },
      {
        name: 'config',
        description: 'show the settings, or write a settings file',
        load: async () => (await import('./machine/config.ts')).defineConfig,
      },
      {
        name: 'demo',
        description:
          'checkpoint and restore a GPU program and verify its memory; without a GPU, on the software driver',
        load: async () => (await import('./demo.ts')).defineDemo,
      },
      {
        name: 'selftest',
        description: "verify this project's claims on a machine with a GPU",
        load: async () => (await import('./selftest.ts')).defineSelftest,
      },
    ],
  ],
  [
    'Plugins:',
    [
      {
        name: 'install',
        description: 'install a built variant where CRIU loads plugins, and keep what it replaces',
        load: async () => (await import('./plugin/install.ts')).defineInstall,
      },
      {
        name: 'uninstall',
        description: 'return a plugin directory to its state before the first installation',
        load: async () => (await import('./plugin/uninstall.ts')).defineUninstall,
      },
      {
        name: 'rollback',
        description: 'reinstall what the last installation replaced',
        load: async () => (await import('./plugin/rollback.ts')).defineRollback,
      },
      {
        name: 'variants',
        description: 'list the variants of the plugin: what each does, where it is built and installed',
        load: async () => (await import('./plugin/variants.ts')).defineVariants,
      },
      {
        name: 'inspect',
        description: 'show what a plugin file is, without running it',
        load: async () => (await import('./plugin/inspect.ts')).defineInspect,
      },
      {
        name: 'build',
        description: 'build the plugins, the software driver and the workload',
        load: async () => (await import('./plugin/build.ts')).defineBuild,
      },
      {
        name: 'bundle',
        description: 'pack CRIU, plugins, node and this program for machines without compilers',
        load: async () => (await import('./plugin/bundle.ts')).defineBundle,
      },
    ],
  ],
  [
    'More:',
    [
      {
        name: 'completion',
        seesOthers: true,
        description: 'print a script that makes a shell complete command lines',
        load: async () => (await import('./completion.ts')).defineCompletion,
      },
    ],
  ],
];

export const commands: readonly CommandEntry[] = groups.flatMap(([group, entries]) =>
  entries.map((entry) => ({ ...entry, group })),
);
