// SPDX-License-Identifier: MIT
/** Chooses the fault at a site, and what the coverage table calls it. */
import type { Random } from './random.ts';
import { sites, usesPool, type CallSite, type DriverSite, type Site } from './sites.ts';
import type { Fault, Plan, Stage, Step, Target, Variant } from './types.ts';

/** CUDA_ERROR_OUT_OF_MEMORY, NOT_READY, ILLEGAL_STATE, UNKNOWN. */
const driverErrors = [2, 600, 401, 999];

/** Whether an I/O error can happen. Space for the status file is reserved by criu, before the pool writes to it. */
const isFallible = ({ role, call }: CallSite): boolean =>
  call === 'image' || call === 'close' || (call === 'status' && role !== 'pool');

/** What the choice of a fault depends on. */
export interface Circumstances {
  variant: Variant;
  face: Plan['face'];
  children: number;
}

type Choice = Pick<Plan, 'step' | 'fault'>;

const before: Step = { kind: 'before' };

function callStep(random: Random, { role, call, text, high }: CallSite, children: number): Step {
  const nth =
    high === 'tasks'
      ? random.between(1, children + 1)
      : high === 'children'
        ? random.between(1, children)
        : random.magnitude(high);
  return { kind: 'call', role, call, nth, text };
}

/** What a signal is sent to: something that runs at the site. */
function chooseTarget(random: Random, site: Site, variant: Variant): Target {
  const call = site.kind === 'call' ? site : undefined;
  const plugin = variant === 'none' || call?.isEarly === true ? 0 : 1;
  const criu = call?.needsUndo === true ? 0 : 1;
  return random.weighted<Target>([
    [5 * criu, 'criu'],
    [(call?.role === 'watcher' ? 4 : 2) * plugin, 'watcher'],
    [usesPool(variant) ? (call?.role === 'pool' ? 4 : 2) * plugin : 0, 'pool'],
    [2, 'program'],
    [2, 'caller'],
    [plugin * criu, 'criu+watcher'],
    [call?.role === 'task' ? 4 : 0, 'task'],
  ]);
}

function chooseSignal(random: Random, site: Site, { variant, face }: Circumstances): Fault {
  const target = chooseTarget(random, site, variant);
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
  return { kind: 'signal', target, signal: sent };
}

function chooseAtCall(random: Random, site: CallSite, circumstances: Circumstances): Choice {
  const step = callStep(random, site, circumstances.children);
  const fails = isFallible(site) && random.chance(0.4);
  if (fails) return { step, fault: { kind: 'errno', name: random.pick(['EIO', 'ENOSPC'] as const) } };
  return { step, fault: chooseSignal(random, site, circumstances) };
}

function chooseDriver(random: Random, { name, high }: DriverSite): Choice {
  const rule = `${name}:${random.magnitude(high)}:${random.pick(driverErrors)}`;
  return { step: before, fault: { kind: 'driver', rule } };
}

/** A limit for the program before criu begins, or for criu at a line of its log. */
function chooseMemory(random: Random, stage: Stage): Choice {
  const kib = random.pick([64, 512, 4096, 16384]);
  if (stage === 'dump' && random.chance(0.5))
    return { step: before, fault: { kind: 'memory', target: 'program', kib } };
  const lines = sites.filter(
    (site): site is CallSite =>
      site.kind === 'call' && site.stage === stage && site.call === 'log' && site.role === 'criu',
  );
  const step = callStep(random, random.pick(lines.slice(0, 6)), 0);
  return { step, fault: { kind: 'memory', target: 'criu', kib } };
}

/** Chooses when exactly something happens at the site, and what. */
export function chooseFault(random: Random, site: Site, circumstances: Circumstances): Choice {
  switch (site.kind) {
    case 'call':
      return chooseAtCall(random, site, circumstances);
    case 'delay': {
      const step: Step = { kind: 'delay', fraction: random.fraction() };
      return { step, fault: chooseSignal(random, site, circumstances) };
    }
    case 'script':
      return { step: { kind: 'script', at: site.at }, fault: { kind: 'script' } };
    case 'driver':
      return chooseDriver(random, site);
    case 'disk-full':
      return { step: before, fault: { kind: 'disk-full', kib: random.between(64, 8192) } };
    case 'frozen':
      return { step: before, fault: { kind: 'frozen', ms: random.between(50, 500) } };
    case 'memory':
      return chooseMemory(random, site.stage);
  }
}

export function faultLabel(fault: Fault): string {
  switch (fault.kind) {
    case 'signal':
      return `${fault.signal} ${fault.target}`;
    case 'errno':
      return fault.name;
    case 'driver':
      return `error ${fault.rule.split(':').at(-1) ?? ''}`;
    case 'memory':
      return `memory of ${fault.target}`;
    default:
      return fault.kind;
  }
}
