// SPDX-License-Identifier: MIT
/**
 * Chooses what a cycle does. Everything follows from the seed and the cycle's number. The sites of faults are a deck of
 * cards, shuffled each time that all were used, so that even the rare ones have their share.
 */
import { Random } from './random.ts';
import { isPossible, sites, usesPool, type Site } from './sites.ts';
import { chooseFault } from './steps.ts';
import { operations, stageOf, variants, type Plan, type ProgramPlan, type Variant } from './types.ts';

/** Restrictions from the command line. */
export interface PlanOptions {
  seed: string;
  /** No CUDA and no plugin. */
  baseline: boolean;
  cgroups: boolean;
  rootOnly: boolean;
  variant?: Variant | undefined;
}

const possibleVariants = ({ baseline, variant }: PlanOptions): readonly Variant[] =>
  baseline ? ['none'] : variant === undefined ? variants : [variant];

function chooseSite(options: PlanOptions, cycle: number): Site {
  const usable = sites.filter(
    (site) =>
      possibleVariants(options).some((variant) => isPossible(site, variant)) &&
      (options.cgroups || (site.kind !== 'frozen' && site.kind !== 'memory')),
  );
  const deck = usable.flatMap((site) => Array.from({ length: site.weight }, () => site));
  const round = new Random(`${options.seed}:deck:${Math.floor(cycle / deck.length)}`);
  const site = round.shuffled(deck)[cycle % deck.length];
  if (site === undefined) throw new Error('there is no site for a fault');
  return site;
}

/** Whether only a program whose device memory goes through the pool gets there. */
const isPoolSite = (site: Site): boolean =>
  !isPossible(site, 'remap') || (site.kind === 'call' && site.role === 'pool');

/** Whether only a program with more than one process gets there. */
const needsChild = (site: Site): boolean => site.kind === 'call' && site.high === 'children';

/** A limit of address space above what it uses: mostly enough for a dump, sometimes a reason to refuse it. */
function chooseAddressSpace(random: Random): number {
  return random.chance(0.25) ? random.between(16, 128) : random.between(600, 2048);
}

function chooseProgram(random: Random, options: PlanOptions, site: Site, variant: Variant): ProgramPlan {
  const cuda = !options.baseline;
  const hasPool = isPoolSite(site);
  const children = random.weighted([
    [needsChild(site) ? 0 : 6, 0],
    [2, 1],
    [1, 2],
  ]);
  // the memory that children have inherited is left to CRIU, which writes a line of its log for each page
  const hasLarge = cuda && usesPool(variant) && children === 0 && random.chance(0.2);
  return {
    seed: random.below(2 ** 31),
    regions: random.between(2, 10),
    children,
    threads: random.between(0, 4),
    descriptors: random.between(0, 8),
    allocKib: Array.from({ length: random.between(hasPool ? 1 : 0, 4) }, () =>
      random.pick([4, 64, 1024, 2048, 3072, 4096]),
    ),
    pinnedKib: random.pick([0, 64, 1024]),
    uid: random.chance(0.2) && !options.rootOnly ? 1000 : 0,
    largeMib: hasLarge ? random.between(33, 48) : 0,
    asMib: random.chance(0.15) && !hasPool && !hasLarge ? chooseAddressSpace(random) : 0,
    nofile: random.chance(0.3) ? random.between(80, 300) : 0,
    stackKib: random.chance(0.3) ? random.pick([1024, 8192]) : 0,
    cuda,
    childCuda: cuda && children > 0 && random.chance(0.5),
    interceptor: cuda && (hasPool || hasLarge || random.chance(usesPool(variant) ? 0.8 : 0.3)),
  };
}

export function choosePlan(options: PlanOptions, cycle: number): Plan {
  const { seed } = options;
  const random = new Random(`${seed}:${cycle}`);
  const site = chooseSite(options, cycle);
  const variant = random.pick(possibleVariants(options).filter((one) => isPossible(site, one)));
  const program = chooseProgram(random, options, site, variant);
  const needsUndo = site.kind === 'call' && site.needsUndo;
  const operation = needsUndo
    ? 'dump' // when it is left running, there is nothing to undo
    : random.weighted(
        operations
          .filter((name) => stageOf(name) === site.stage)
          .map((name) => [name === 'dump' ? 2 : 1, name]),
      );
  const face = cycle % 50 === 49 ? 'command' : 'library';
  return {
    ...{ seed, cycle, program, variant, operation, site: site.label, needsUndo },
    ...chooseFault(random, site, { variant, face, children: program.children }),
    face,
    again: random.chance(0.25),
  };
}
