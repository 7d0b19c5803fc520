// SPDX-License-Identifier: MIT
/** All places where a fault can happen. Every run uses each of them equally often, by its weight. */
import type { Call, Role, Stage, Variant } from './types.ts';

interface Common {
  stage: Stage;
  /** As the coverage table names it. */
  label: string;
  /** How many cards of the deck it has. */
  weight: number;
}

/** A call of criu or one of the plugin's processes. */
export interface CallSite extends Common {
  kind: 'call';
  role: Role;
  call: Call;
  /** What is in the line of the log, or in the path of the file. */
  text: string;
  /** How often it happens at most; `tasks`: once for each process, `children`: once for each but the first. */
  high: number | 'tasks' | 'children';
  /** Before the plugin has started anything. */
  isEarly: boolean;
  /** The watcher gets there only when it has something to undo. */
  needsUndo: boolean;
}

export interface ScriptSite extends Common {
  kind: 'script';
  at: string;
}

export interface DriverSite extends Common {
  kind: 'driver';
  name: string;
  high: number;
}

export interface OtherSite extends Common {
  kind: 'delay' | 'disk-full' | 'frozen' | 'memory';
}

export type Site = CallSite | ScriptSite | DriverSite | OtherSite;

type Line = readonly [label: string, text: string, high: CallSite['high']];

/** Lines of CRIU's log, in order. The plugin's hooks write few. */
const lines: Record<Stage, Record<'criu' | 'task', readonly Line[]>> = {
  dump: {
    criu: [
      ['start', 'Dumping processes (pid', 1],
      ['pre-dump', 'Running pre-dump scripts', 1],
      ['plugin-loaded', 'Plugin "', 1],
      ['inventory', 'Preparing image inventory', 1],
      ['pause-hook', 'hook 10 ->', 1],
      ['seized', 'Seized task', 'tasks'],
      ['seizing-thread', '\tSeizing ', 4],
      ['frozen', 'Collected (', 1],
      ['checkpoint-hook', 'hook 11 ->', 1],
      ['network-lock', 'Lock network', 1],
      ['mounts', 'Building mountpoints tree', 1],
      ['task', 'Dumping task (pid', 'tasks'],
      ['mappings', 'Collecting mappings', 'tasks'],
      ['parasite', 'Putting parasite blob', 'tasks'],
      ['parasite-daemon', 'Wait for parasite being daemonized', 'tasks'],
      ['files', 'Dumping opened files', 'tasks'],
      ['pages', 'Dumping pages (type', 'tasks'],
      ['pages-sent', 'Transferring pages', 'tasks'],
      ['memory-map', 'Dumping mm (pid', 'tasks'],
      ['core', 'Dumping core (pid', 'tasks'],
      ['tree', 'Dumping pstree', 1],
      ['inventory-written', 'Writing image inventory', 1],
      ['post-dump', 'Running post-dump scripts', 1],
      ['unfreezing', 'Unfreezing tasks', 1],
      ['unseizing', '\tUnseizing', 'tasks'],
      ['statistics', 'Writing stats', 1],
      ['finished', 'Dumping finished successfully', 1],
    ],
    task: [],
  },
  restore: {
    criu: [
      ['tree', 'Reading image tree', 1],
      ['plugin-loaded', 'Plugin "', 1],
      ['fork', 'Forking task with', 1],
      ['post-restore', 'Running post-restore scripts', 1],
      ['trapped', 'was trapped', 4],
      ['stopped', 'was stopped', 4],
      ['late-hook', 'Run late stage hook', 1],
      ['finished', 'Restore finished successfully', 1],
      ['statistics', 'Writing stats', 1],
      ['post-resume', 'Running post-resume scripts', 1],
    ],
    task: [
      ['session', 'Restoring ', 4],
      ['namespaces', 'Restoring namespaces', 'tasks'],
      ['mappings', 'VMAs in image', 'tasks'],
      ['pages', 'Opened local page read', 'tasks'],
      ['child', 'Forking task with', 'children'],
      ['resources', 'Restoring resources', 'tasks'],
      ['files', 'Opening fdinfo-s', 'tasks'],
      ['sigreturn', 'Restore via sigreturn', 'tasks'],
      ['restorer', 'task_args:', 'tasks'],
    ],
  },
};

const early = new Set([
  'dump/start',
  'dump/pre-dump',
  'dump/plugin-loaded',
  'restore/tree',
  'restore/plugin-loaded',
]);

/** Calls between the lines: [role, call, how often at most, weight]. */
const calls: Record<Stage, readonly (readonly [Role, Call, number, number])[]> = {
  dump: [
    ['criu', 'ptrace', 900, 6],
    ['criu', 'memory', 60, 3],
    ['criu', 'message', 200, 5],
    ['criu', 'image', 200, 3],
    ['criu', 'close', 40, 2],
    ['criu', 'status', 14, 3],
    ['criu', 'wait', 800, 4],
    ['watcher', 'message', 40, 4],
    ['pool', 'message', 40, 4],
    ['pool', 'image', 3, 2],
    ['pool', 'close', 2, 1],
    ['pool', 'status', 6, 2],
  ],
  restore: [
    ['criu', 'ptrace', 400, 5],
    ['criu', 'memory', 30, 2],
    ['criu', 'message', 60, 3],
    ['criu', 'status', 7, 2],
    ['criu', 'wait', 500, 3],
    ['task', 'message', 80, 2],
    ['watcher', 'message', 8, 3],
    ['pool', 'message', 30, 4],
    ['pool', 'status', 4, 2],
  ],
};

/** Calls of a watcher that undoes a dump. */
const undoCalls: readonly (readonly [Call, number, number])[] = [
  ['status', 3, 2],
  ['message', 60, 2],
  ['memory', 8, 2],
  ['ptrace', 70, 3],
  ['wait', 300, 2],
];

/** Files of the plugin and the pool, whose names begin so. */
const OWN_FILE = 'cuda-';

const scripts: Record<Stage, readonly string[]> = {
  dump: ['pre-dump', 'post-dump'],
  restore: ['pre-restore', 'post-restore', 'pre-resume', 'post-resume'],
};

/** Calls of the driver that fail: [function, how often it is called at most]. */
const driverCalls: Record<Stage, readonly (readonly [string, number])[]> = {
  dump: [
    ['cuCheckpointProcessGetState', 4],
    ['cuCheckpointProcessLock', 2],
    ['cuCheckpointProcessCheckpoint', 2],
    ['cuMemImportFromShareableHandle', 2],
    ['cuMemMap', 2],
    ['cuMemcpyDtoHAsync', 2],
  ],
  restore: [
    ['cuCheckpointProcessRestore', 1],
    ['cuCheckpointProcessUnlock', 1],
    ['cuMemCreate', 2],
    ['cuMemMap', 2],
    ['cuMemExportToShareableHandle', 2],
    ['cuMemcpyHtoDAsync', 2],
  ],
};

/** Calls of the driver that only the pool makes. */
const isPoolsCall = (name: string): boolean => !name.startsWith('cuCheckpoint');

const stages = ['dump', 'restore'] as const;

function callSite(
  stage: Stage,
  { label, ...rest }: Pick<CallSite, 'label' | 'role' | 'call' | 'high'> & Partial<CallSite>,
): CallSite {
  const plain = { text: '', weight: 1, isEarly: false, needsUndo: false };
  return { kind: 'call', stage, ...plain, ...rest, label: `${stage}/${label}` };
}

function lineSites(stage: Stage): Site[] {
  return (['criu', 'task'] as const).flatMap((role) =>
    lines[stage][role].map(([name, text, high]) => {
      const isEarly = early.has(`${stage}/${name}`);
      return callSite(stage, { label: `log/${name}`, role, call: 'log', text, high, isEarly });
    }),
  );
}

function callSites(stage: Stage): Site[] {
  const plain = calls[stage].map(([role, call, high, weight]) =>
    callSite(stage, { label: `${role}/${call}`, role, call, high, weight }),
  );
  if (stage === 'restore') return plain;
  const own = (['image', 'close'] as const).map((call) =>
    callSite(stage, { label: `criu/${call}/cuda`, role: 'criu', call, high: 6, text: OWN_FILE, weight: 2 }),
  );
  const undo = undoCalls.map(([call, high, weight]) =>
    callSite(stage, { label: `watcher/${call}/undo`, role: 'watcher', call, high, weight, needsUndo: true }),
  );
  return [...plain, ...own, ...undo];
}

function otherSites(stage: Stage): Site[] {
  const of = (kind: OtherSite['kind'], weight: number): Site => ({
    kind,
    stage,
    label: `${stage}/${kind}`,
    weight,
  });
  return [
    ...scripts[stage].map((at): Site => ({
      kind: 'script',
      stage,
      label: `${stage}/script/${at}`,
      weight: 2,
      at,
    })),
    ...driverCalls[stage].map(([name, high]): Site => ({
      kind: 'driver',
      stage,
      label: `${stage}/driver/${name}`,
      weight: isPoolsCall(name) ? 3 : 1, // half of the variants have no pool
      name,
      high,
    })),
    of('delay', 8),
    ...(stage === 'dump' ? [of('disk-full', 3), of('frozen', 1)] : []),
    of('memory', 2),
  ];
}

export const sites: readonly Site[] = stages.flatMap((stage) => [
  ...lineSites(stage),
  ...callSites(stage),
  ...otherSites(stage),
]);

export const usesPool = (variant: Variant): boolean => !['none', 'stock', 'remap'].includes(variant);

/** Whether something of the plugin's is there: status file, watcher, files of its own. */
function isPlain(site: Site): boolean {
  if (site.kind !== 'call') return site.kind !== 'driver';
  const { role, call, text } = site;
  return ['criu', 'task'].includes(role) && !['memory', 'status'].includes(call) && text !== OWN_FILE;
}

/** Whether a fault can happen there. */
export function isPossible(site: Site, variant: Variant): boolean {
  if (variant === 'none') return isPlain(site);
  if (usesPool(variant)) return true;
  if (site.kind === 'driver') return !isPoolsCall(site.name);
  if (site.kind !== 'call') return true;
  return (
    site.role !== 'pool' &&
    !(variant === 'stock' && (site.text === OWN_FILE || (site.needsUndo && site.call !== 'status')))
  );
}
