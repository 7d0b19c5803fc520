// SPDX-License-Identifier: MIT
/** Where faults happen, and which faults can happen there. */
import type { Random } from './random.ts';
import type { Call, Fault, Plan, Role, Stage, Step, Target, Variant } from './types.ts';

/** Lines of CRIU's log, in order: [role that writes it, label, text, how often at most]. */
const logLines: Record<Stage, readonly (readonly [Role, string, string, number])[]> = {
  dump: [
    ['criu', 'start', 'Dumping processes (pid', 1],
    ['criu', 'pre-dump', 'Running pre-dump scripts', 1],
    ['criu', 'plugin-loaded', 'Plugin "', 1],
    ['criu', 'inventory', 'Preparing image inventory', 1],
    ['criu', 'pause-hook', 'hook 10 ->', 1],
    ['criu', 'seized', 'Seized task', 3],
    ['criu', 'seizing-thread', '\tSeizing ', 6],
    ['criu', 'frozen', 'Collected (', 1],
    ['criu', 'checkpoint-hook', 'hook 11 ->', 1],
    ['criu', 'network-lock', 'Lock network', 1],
    ['criu', 'mounts', 'Building mountpoints tree', 1],
    ['criu', 'task', 'Dumping task (pid', 3],
    ['criu', 'mappings', 'Collecting mappings', 3],
    ['criu', 'parasite', 'Putting parasite blob', 3],
    ['criu', 'parasite-daemon', 'Wait for parasite being daemonized', 3],
    ['criu', 'files', 'Dumping opened files', 3],
    ['criu', 'pages', 'Dumping pages (type', 3],
    ['criu', 'pages-sent', 'Transferring pages', 3],
    ['criu', 'memory-map', 'Dumping mm (pid', 3],
    ['criu', 'core', 'Dumping core (pid', 3],
    ['criu', 'tree', 'Dumping pstree', 1],
    ['criu', 'inventory-written', 'Writing image inventory', 1],
    ['criu', 'post-dump', 'Running post-dump scripts', 1],
    ['criu', 'unfreezing', 'Unfreezing tasks', 1],
    ['criu', 'unseizing', '\tUnseizing', 3],
    ['criu', 'statistics', 'Writing stats', 1],
    ['criu', 'finished', 'Dumping finished successfully', 1],
  ],
  restore: [
    ['criu', 'tree', 'Reading image tree', 1],
    ['criu', 'plugin-loaded', 'Plugin "', 1],
    ['criu', 'fork', 'Forking task with', 1],
    ['task', 'session', 'Restoring ', 4],
    ['task', 'namespaces', 'Restoring namespaces', 2],
    ['task', 'mappings', 'VMAs in image', 2],
    ['task', 'pages', 'Opened local page read', 2],
    ['task', 'child', 'Forking task with', 2],
    ['task', 'resources', 'Restoring resources', 2],
    ['task', 'files', 'Opening fdinfo-s', 2],
    ['task', 'sigreturn', 'Restore via sigreturn', 2],
    ['task', 'restorer', 'task_args:', 2],
    ['criu', 'post-restore', 'Running post-restore scripts', 1],
    ['criu', 'trapped', 'was trapped', 4],
    ['criu', 'stopped', 'was stopped', 4],
    ['criu', 'late-hook', 'Run late stage hook', 1],
    ['criu', 'finished', 'Restore finished successfully', 1],
    ['criu', 'statistics', 'Writing stats', 1],
    ['criu', 'post-resume', 'Running post-resume scripts', 1],
  ],
};

/** Calls between the lines: [role, call, how often at most]. The plugin's hooks write few lines. */
const calls: Record<Stage, readonly (readonly [Role, Call, number])[]> = {
  dump: [
    ['criu', 'ptrace', 700],
    ['criu', 'memory', 100],
    ['criu', 'message', 60],
    ['criu', 'image', 120],
    ['criu', 'close', 30],
    ['criu', 'status', 14],
    ['criu', 'wait', 120],
    ['watcher', 'message', 12],
    ['watcher', 'status', 4],
    ['pool', 'message', 60],
    ['pool', 'image', 12],
  ],
  restore: [
    ['criu', 'ptrace', 500],
    ['criu', 'memory', 30],
    ['criu', 'message', 60],
    ['criu', 'status', 8],
    ['criu', 'wait', 60],
    ['task', 'message', 30],
    ['watcher', 'message', 8],
    ['watcher', 'status', 3],
    ['pool', 'message', 40],
    ['pool', 'status', 3],
  ],
};

const scripts: Record<Stage, readonly string[]> = {
  dump: ['pre-dump', 'network-lock', 'network-unlock', 'post-dump'],
  restore: ['pre-restore', 'post-restore', 'pre-resume', 'post-resume'],
};

/** Calls of the driver that fail: [function, how often it is called at most]. */
const driverCalls: Record<Stage, readonly (readonly [string, number])[]> = {
  dump: [
    ['cuCheckpointProcessGetState', 4],
    ['cuCheckpointProcessLock', 2],
    ['cuCheckpointProcessCheckpoint', 2],
    ['cuMemImportFromShareableHandle', 4],
    ['cuMemMap', 4],
    ['cuMemcpyDtoHAsync', 4],
    ['cuStreamSynchronize', 4],
  ],
  restore: [
    ['cuCheckpointProcessRestore', 2],
    ['cuCheckpointProcessUnlock', 2],
    ['cuMemCreate', 3],
    ['cuMemMap', 3],
    ['cuMemExportToShareableHandle', 3],
    ['cuMemcpyHtoDAsync', 4],
  ],
};
/** CUDA_ERROR_OUT_OF_MEMORY, NOT_READY, ILLEGAL_STATE, UNKNOWN. */
const driverErrors = [2, 600, 401, 999];

const usesPool = (variant: Variant): boolean => !['none', 'stock', 'remap'].includes(variant);

function callStep(
  random: Random,
  stage: Stage,
  [role, call, high]: readonly [Role, Call, number],
  text = '',
): Step {
  return { kind: 'call', role, call, nth: random.magnitude(high), text, label: `${stage}/${role}/${call}` };
}

function lineStep(random: Random, stage: Stage, line: (typeof logLines)['dump'][number]): Step {
  const [role, label, text, high] = line;
  return {
    kind: 'call',
    role,
    call: 'log',
    nth: random.between(1, high),
    text,
    label: `${stage}/log/${label}`,
  };
}

/** A step for a signal; a signal to a task is sent to the task that is at the step. */
function chooseStep(random: Random, stage: Stage, variant: Variant, role?: Role): Step {
  const isPossible = (one: Role): boolean =>
    variant === 'none' ? one === 'criu' || one === 'task' : one !== 'pool' || usesPool(variant);
  const isPlain = (call: Call): boolean => variant !== 'none' || !['memory', 'status'].includes(call);
  const lines = logLines[stage].filter(([one]) => role === undefined || one === role);
  const between = calls[stage].filter(
    ([one, call]) => (role === undefined || one === role) && isPossible(one) && isPlain(call),
  );
  const isLine = lines.length > 0 && random.chance(0.5);
  return isLine ? lineStep(random, stage, random.pick(lines)) : callStep(random, stage, random.pick(between));
}

function chooseSignal(
  random: Random,
  stage: Stage,
  variant: Variant,
  face: Plan['face'],
): { step: Step; fault: Fault } {
  const plugin = variant === 'none' ? 0 : 1;
  const target: Target = random.weighted<Target>([
    [5, 'criu'],
    [2 * plugin, 'watcher'],
    [usesPool(variant) ? 2 : 0, 'pool'],
    [2, 'program'],
    [2, 'caller'],
    [plugin, 'criu+watcher'],
    [stage === 'restore' ? 2 : 0, 'task'],
  ]);
  const signal = random.weighted([
    [5, 'SIGKILL'],
    [2, 'SIGTERM'],
    [1, 'SIGINT'],
    [1, 'SIGSTOP'],
  ] as const);
  // a program that handles SIGTERM by ending is not our concern
  const isKilled = ['program', 'task', 'criu+watcher'].includes(target) && signal !== 'SIGSTOP';
  // the library is asked to stop by an AbortSignal, whatever the signal
  const sent = isKilled ? 'SIGKILL' : target === 'caller' && face === 'library' ? 'SIGTERM' : signal;
  const role =
    target === 'task'
      ? 'task'
      : ['watcher', 'pool'].includes(target) && random.chance(0.5)
        ? (target as Role)
        : undefined;
  const isLate = random.chance(0.15) && target !== 'task';
  const step: Step = isLate
    ? { kind: 'delay', fraction: random.fraction() * 1.2 }
    : chooseStep(random, stage, variant, role);
  return { step, fault: { kind: 'signal', target, signal: sent } };
}

function chooseErrno(random: Random, stage: Stage, variant: Variant): { step: Step; fault: Fault } {
  const name = random.pick(['EIO', 'ENOSPC'] as const);
  const hasOwn = !['none', 'stock'].includes(variant);
  const where: [Role, Call, number, string] =
    stage === 'restore'
      ? ['criu', 'status', 6, '']
      : usesPool(variant) && random.chance(0.4)
        ? ['pool', random.pick(['image', 'close'] as const), 8, 'cuda-']
        : hasOwn && random.chance(0.6)
          ? ['criu', random.pick(['image', 'close'] as const), 12, 'cuda-']
          : ['criu', 'image', 120, ''];
  const [role, call, high, text] = where;
  const step = callStep(random, stage, [role, call, high], text);
  if (step.kind === 'call' && text !== '') step.label += '/cuda';
  return { step, fault: { kind: 'errno', name } };
}

/** Chooses a fault and the step at which it happens. */
export function chooseFault(
  random: Random,
  stage: Stage,
  variant: Variant,
  { cgroups, face }: { cgroups: boolean; face: Plan['face'] },
): Pick<Plan, 'step' | 'fault'> {
  const before: Step = { kind: 'before' };
  const plugin = variant === 'none' ? 0 : 1;
  const isDump = stage === 'dump';
  const kind = random.weighted([
    [24, 'signal'],
    [4, 'errno'],
    [isDump ? 2 : 0, 'disk-full'],
    [2, 'script'],
    [4 * plugin, 'driver'],
    [cgroups && isDump ? 0.5 : 0, 'frozen'],
    [cgroups ? 1.5 : 0, 'memory'],
  ] as const);
  switch (kind) {
    case 'signal':
      return chooseSignal(random, stage, variant, face);
    case 'errno':
      return chooseErrno(random, stage, variant);
    case 'disk-full':
      return { step: before, fault: { kind, kib: random.between(64, 8192) } };
    case 'script':
      return { step: { kind: 'script', at: random.pick(scripts[stage]) }, fault: { kind } };
    case 'driver': {
      const known = driverCalls[stage].filter(
        ([name]) => usesPool(variant) || name.startsWith('cuCheckpoint'),
      );
      const [name, high] = random.pick(known);
      return {
        step: before,
        fault: { kind, rule: `${name}:${random.magnitude(high)}:${random.pick(driverErrors)}` },
      };
    }
    case 'frozen':
      return { step: before, fault: { kind, ms: random.between(50, 500) } };
    case 'memory': {
      const target = isDump && random.chance(0.5) ? 'program' : 'criu';
      const step =
        target === 'program'
          ? before
          : lineStep(
              random,
              stage,
              random.pick(logLines[stage].filter(([role]) => role === 'criu').slice(0, 6)),
            );
      return { step, fault: { kind, target, kib: random.pick([64, 512, 4096, 16384]) } };
    }
  }
}

/** The step as the coverage table names it. */
export function stepLabel(stage: Stage, step: Step): string {
  switch (step.kind) {
    case 'call':
      return step.label;
    case 'script':
      return `${stage}/script/${step.at}`;
    case 'delay':
      return `${stage}/delay`;
    case 'before':
      return `${stage}/before`;
  }
}

export function faultLabel(fault: Fault): string {
  switch (fault.kind) {
    case 'signal':
      return `${fault.signal} ${fault.target}`;
    case 'errno':
      return fault.name;
    case 'driver':
      return fault.rule.split(':')[0] ?? fault.kind;
    case 'memory':
      return `memory of ${fault.target}`;
    default:
      return fault.kind;
  }
}
