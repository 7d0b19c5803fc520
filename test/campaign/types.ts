// SPDX-License-Identifier: MIT
/** What a cycle is, and how it ended. */

export const variants = ['stock', 'remap', 'parallel', 'full', 'full+daemon'] as const;
/** `none`: no CUDA, no plugin, to see what CRIU itself loses. */
export type Variant = (typeof variants)[number] | 'none';

/** The arguments of workload-state, without those that are the same in all cycles. */
export interface ProgramPlan {
  seed: number;
  regions: number;
  children: number;
  threads: number;
  descriptors: number;
  allocKib: number[];
  pinnedKib: number;
  /** Private memory in one mapping more; 0: none. */
  largeMib: number;
  uid: number;
  asMib: number;
  nofile: number;
  stackKib: number;
  cuda: boolean;
  childCuda: boolean;
  interceptor: boolean;
}

export const operations = ['dump', 'leave-running', 'restore', 'restore-twice'] as const;
/** What is done to the program; the fault is in the last of its steps. */
export type OperationName = (typeof operations)[number];

export type Stage = 'dump' | 'restore';
export type Role = 'criu' | 'task' | 'watcher' | 'pool';
export type Call = 'log' | 'status' | 'image' | 'close' | 'ptrace' | 'memory' | 'message' | 'wait';

/** When a fault happens. */
export type Step =
  | { kind: 'call'; role: Role; call: Call; nth: number; text: string }
  | { kind: 'script'; at: string }
  | { kind: 'delay'; fraction: number }
  /** Before criu starts. */
  | { kind: 'before' };

export type Target = Role | 'program' | 'caller' | 'criu+watcher';

export type Fault =
  | { kind: 'none' }
  | { kind: 'signal'; target: Target; signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' | 'SIGSTOP' }
  | { kind: 'errno'; name: 'EIO' | 'ENOSPC' }
  | { kind: 'disk-full'; kib: number }
  | { kind: 'memory'; target: 'criu' | 'program'; kib: number }
  | { kind: 'frozen'; ms: number }
  | { kind: 'driver'; rule: string }
  | { kind: 'script' };

export interface Plan {
  seed: string;
  cycle: number;
  program: ProgramPlan;
  variant: Variant;
  operation: OperationName;
  /** Where the fault is, as the coverage table names it. */
  site: string;
  step: Step;
  fault: Fault;
  /** The library in this process, or the command line. */
  face: 'library' | 'command';
  /** A post-dump script fails as well, so that the watcher has something to undo. */
  needsUndo: boolean;
  /** A program that survived is dumped and restored once more. */
  again: boolean;
}

export const goodOutcomes = ['survived', 'restored', 'gone'] as const;
/** Bad, but CRIU alone does the same. */
export const ownOutcome = 'criu';
export const badOutcomes = ['lost', 'wrong', 'stuck', 'leftover'] as const;
/**
 * `survived`: it runs, and is identical. `restored`: it was restored from the image, and is identical. `gone`: the fault
 * itself ended it. `lost`: it runs no more, and no image brings it back. `wrong`: it runs, and is not identical, or what
 * was reported is not true. `stuck`: something did not end in time. `leftover`: something was left behind. `criu`: one of
 * these, but CRIU alone does the same.
 */
export type Outcome = (typeof goodOutcomes)[number] | (typeof badOutcomes)[number] | typeof ownOutcome;

export interface CycleResult {
  outcome: Outcome;
  detail: string;
  /** Whether the fault was injected. */
  hit: boolean;
  ms: number;
}

export const isBad = (outcome: Outcome): boolean => (badOutcomes as readonly string[]).includes(outcome);

/** The stage in which the fault is. */
export const stageOf = (operation: OperationName): Stage =>
  operation === 'dump' || operation === 'leave-running' ? 'dump' : 'restore';
