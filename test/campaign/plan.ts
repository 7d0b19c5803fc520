// SPDX-License-Identifier: MIT
/** Chooses what a cycle does. Everything follows from the seed and the cycle's number. */
import { Random } from './random.ts';
import { chooseFault } from './steps.ts';
import {
  operations,
  stageOf,
  variants,
  type OperationName,
  type Plan,
  type ProgramPlan,
  type Variant,
} from './types.ts';

/** Restrictions from the command line. */
export interface PlanOptions {
  seed: string;
  /** No CUDA and no plugin. */
  baseline: boolean;
  cgroups: boolean;
  rootOnly: boolean;
  variant?: Variant | undefined;
}

export function choosePlan(options: PlanOptions, cycle: number): Plan {
  const { seed } = options;
  const random = new Random(`${seed}:${cycle}`);
  const variant: Variant = options.baseline ? 'none' : (options.variant ?? random.pick(variants));
  const cuda = !options.baseline;
  const children = random.weighted([
    [6, 0],
    [2, 1],
    [1, 2],
  ]);
  const program: ProgramPlan = {
    seed: random.below(2 ** 31),
    regions: random.between(2, 10),
    children,
    threads: random.between(0, 4),
    descriptors: random.between(0, 8),
    allocKib: Array.from({ length: random.between(0, 4) }, () =>
      random.pick([4, 64, 1024, 2048, 3072, 4096]),
    ),
    pinnedKib: random.pick([0, 64, 1024]),
    uid: random.chance(0.2) && !options.rootOnly ? 1000 : 0,
    asMib: random.chance(0.2) ? random.between(16, 128) : 0,
    nofile: random.chance(0.3) ? random.between(80, 300) : 0,
    stackKib: random.chance(0.3) ? random.pick([1024, 8192]) : 0,
    cuda,
    childCuda: cuda && children > 0 && random.chance(0.5),
    interceptor: cuda && random.chance(variant === 'stock' || variant === 'remap' ? 0.3 : 0.8),
  };
  const operation: OperationName = random.weighted(operations.map((name) => [name === 'dump' ? 4 : 2, name]));
  const face = cycle % 50 === 49 ? 'command' : 'library';
  return {
    ...{ seed, cycle, program, variant, operation },
    ...chooseFault(random, stageOf(operation), variant, { cgroups: options.cgroups, face }),
    face,
    again: random.chance(0.25),
  };
}
