// SPDX-License-Identifier: MIT
/** What a run found: a JSON line per cycle, and at the end which fault was injected how often at which step. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { faultLabel } from './steps.ts';
import type { RunHead } from './summarize.ts';
import { isBad, type CycleResult, type Plan } from './types.ts';

function programWords({ program }: Plan): string {
  const { regions, children, threads, allocKib, uid, asMib, largeMib, interceptor, cuda } = program;
  return [
    `${regions} mappings`,
    `${children} children`,
    `${threads} threads`,
    cuda ? `device ${allocKib.join('+')} KiB` : 'no CUDA',
    ...(interceptor ? ['interceptor'] : []),
    ...(largeMib > 0 ? [`${largeMib} MiB in one mapping`] : []),
    ...(uid > 0 ? [`uid ${uid}`] : []),
    ...(asMib > 0 ? ['RLIMIT_AS'] : []),
  ].join(', ');
}

export class Report {
  readonly #out: string | undefined;
  readonly #coverage = new Map<string, Map<string, number>>();
  readonly #outcomes = new Map<string, number>();
  readonly #bad: string[] = [];
  #hits = 0;
  #cycles = 0;

  constructor(out: string | undefined) {
    this.#out = out;
  }

  /** Writes what the run is, before its first cycle. */
  begin(head: RunHead): void {
    if (this.#out !== undefined) appendFileSync(this.#out, `${JSON.stringify(head)}\n`);
  }

  add(plan: Plan, result: CycleResult): void {
    const step = plan.site;
    const fault = faultLabel(plan.fault);
    const { outcome, detail, hit, ms } = result;
    const { seed, cycle, variant, operation, face } = plan;
    const line = {
      seed,
      cycle,
      program: programWords(plan),
      variant,
      operation,
      face,
      step,
      fault,
      hit,
      outcome,
      detail,
      ms,
    };
    if (this.#out !== undefined) appendFileSync(this.#out, `${JSON.stringify(line)}\n`);
    this.#cycles += 1;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    if (isBad(outcome))
      this.#bad.push(`${cycle} ${outcome}: ${variant}, ${operation}, ${step}, ${fault}: ${detail}`);
    if (!hit) return;
    this.#hits += 1;
    const faults = this.#coverage.get(step) ?? new Map<string, number>();
    faults.set(fault, (faults.get(fault) ?? 0) + 1);
    this.#coverage.set(step, faults);
  }

  /** Logs of CRIU in a cycle that went wrong: not all of them can be repeated. */
  keepLogs(cycle: number, logs: string): void {
    if (this.#out !== undefined) writeFileSync(`${this.#out}-${cycle}.log`, logs);
  }

  get bad(): readonly string[] {
    return this.#bad;
  }

  get isEmpty(): boolean {
    return this.#cycles === 0;
  }

  get summary(): string {
    const outcomes = [...this.#outcomes].sort().map(([name, count]) => `${count} ${name}`);
    return `${this.#cycles} cycles, ${this.#hits} faults: ${outcomes.join(', ')}`;
  }

  /** Steps and the faults that were injected there. */
  coverage(): string {
    const rows = [...this.#coverage].sort(([a], [b]) => a.localeCompare(b));
    return rows
      .map(([step, faults]) => {
        const total = [...faults.values()].reduce((sum, count) => sum + count, 0);
        const words = [...faults].sort().map(([fault, count]) => `${fault} ${count}`);
        return `${step.padEnd(32)} ${String(total).padStart(5)}  ${words.join(', ')}`;
      })
      .join('\n');
  }
}
