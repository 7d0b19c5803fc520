// SPDX-License-Identifier: MIT
/** One cycle: a program, a fault in an operation, and what must be true afterwards. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCheckpoint } from '../../lib/checkpoint/images-dir.ts';
import { isAlive, killTree } from '../../lib/process/index.ts';
import { DriverReads } from './driver-reads.ts';
import { FaultInjector, makeCounts } from './faults.ts';
import { compare, hasParasite, takeFingerprint, type Fingerprint } from './fingerprint.ts';
import { findLeftovers } from './leftovers.ts';
import { CampaignMachine } from './machine.ts';
import { Operator, type Call, type OperationResult } from './operator.ts';
import { criusOwn } from './own.ts';
import { killAll, killCriusChildren, remaining, untilCollected, untilGone } from './processes.ts';
import { startProgram } from './program.ts';
import { ownOutcome, stageOf, type CycleResult, type Outcome, type Plan } from './types.ts';

type EndedResult = Exclude<OperationResult, { kind: 'stuck' }>;

/** Ends a cycle early: what was found is its outcome. */
class Verdict extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome, detail: string) {
    super(detail);
    this.outcome = outcome;
  }
}

/** Durations of operations that had no fault, for faults after a delay. */
const EXPECTED_MS = { dump: 250, restore: 300 };

/** How long a program that was killed may take to end. */
const ENDING_MS = 10_000;

/** How long criu and the plugin's processes may work after their caller was killed. */
const BACKGROUND_MS = 20_000;

/**
 * Linux frees the id of a thread a moment after its process can be collected (release_task), and nothing tells when. On
 * a busy machine, a restore can be faster.
 */
const TAKEN_TID = /Unable to create a thread: -17$/m;
const TID_TRIES = 20;
const TID_PAUSE_MS = 100;

/** How long a program may take to be identical, on however busy a machine, and how often it is looked at. */
const SETTLE_MS = 10_000;
const SETTLE_PAUSE_MS = 100;
/** What takes longer than this is worth a note. */
const NOTED_MS = 2000;

/** Criu, or a process that the plugin started. */
const isOurs = (comm: string): boolean => /^(?:criu|cuda-)/.test(comm);

class Cycle {
  readonly machine = new CampaignMachine();
  readonly plan: Plan;
  readonly #operator: Operator;
  readonly #reads = new DriverReads(this.machine.dir);
  #injector: FaultInjector | undefined;
  #before: Fingerprint = new Map();
  #pid = 0;
  readonly #notes: string[] = [];
  /** The last result of the operation with the fault. */
  #result: EndedResult | undefined;

  constructor(plan: Plan) {
    this.plan = plan;
    this.#operator = new Operator(this.machine, plan);
  }

  #call(changes: Partial<Call> = {}): Call {
    return {
      ...{
        env: FaultInjector.shim(this.machine),
        extraArgs: [],
        leaveRunning: false,
        signal: new AbortController().signal,
      },
      onSpawn: () => undefined,
      ...changes,
    };
  }

  async #start(): Promise<void> {
    const { plan, machine } = this;
    makeCounts(machine);
    const inDaemon = plan.step.kind === 'call' && plan.step.role === 'pool';
    if (plan.variant === 'full+daemon')
      await machine.startPool(inDaemon ? FaultInjector.environment(machine, plan) : {});
    this.#pid = await startProgram(machine, plan.program);
    if (plan.program.largeMib > 0) this.#reads.choose(this.#pid, plan.program.largeMib * 2 ** 20);
    this.#before = await this.#takeSettled();
  }

  /** An operation without a fault must succeed. */
  #must(what: string, result: OperationResult): void {
    if (result.kind === 'stuck') throw new Verdict('stuck', `${what} does not end`);
    if (result.kind === 'failed') throw new Verdict('lost', `${what}: ${result.message}`);
  }

  /** Dumps without a fault. @returns why the dump was refused, of a program that is identical afterwards */
  async #dumpCleanly(what: string): Promise<string | undefined> {
    const result = await this.#operator.dump(this.#pid, this.#call());
    if (result.kind === 'stuck') throw new Verdict('stuck', `${what} does not end`);
    if (result.kind === 'done') return undefined;
    if (!isAlive(this.#pid)) throw new Verdict('lost', `${what}: ${result.message}`);
    await this.#checkIdentical(`after ${what} (${result.message})`);
    this.#note(`${what} is refused: ${result.message}`);
    return result.message;
  }

  /** Adds to what the result says of a cycle that went well. */
  #note(text: string): void {
    if (!this.#notes.includes(text)) this.#notes.push(text);
  }

  /** Runs the operation with the fault. */
  async #withFault(
    run: (call: Call) => Promise<OperationResult>,
    leaveRunning: boolean,
  ): Promise<EndedResult> {
    const { machine, plan } = this;
    const controller = new AbortController();
    let commandPid: number | undefined;
    const subject = {
      pid: this.#pid,
      abort: () => {
        controller.abort();
      },
      commandPid: () => commandPid,
    };
    makeCounts(machine); // counts of this operation only
    const injector = new FaultInjector(machine, plan, subject);
    this.#injector = injector;
    await injector.arm();
    const call = this.#call({
      env: FaultInjector.environment(machine, plan),
      extraArgs: injector.arguments(),
      leaveRunning,
      signal: controller.signal,
      onSpawn: (pid) => {
        commandPid = pid;
      },
    });
    const work = run(call);
    injector.started(EXPECTED_MS[stageOf(plan.operation)]);
    const result = await work;
    if (result.kind === 'stuck') throw new Verdict('stuck', `the ${stageOf(plan.operation)} does not end`);
    this.#result = result;
    await injector.disarm();
    // a caller that was killed waits for nothing
    if (this.#endsCriu && !this.#isCallerKilled && (await killCriusChildren()))
      this.#note("CRIU's own child was left");
    const busy = await remaining(({ pid, comm }) => pid !== machine.poolPid && isOurs(comm), BACKGROUND_MS);
    if (busy.length > 0)
      throw new Verdict('stuck', `${busy.map(({ comm }) => comm).join(', ')} does not end`);
    return result;
  }

  async #takeFingerprint(when: string): Promise<Fingerprint> {
    try {
      return await takeFingerprint(this.machine, this.#pid);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Verdict(isAlive(this.#pid) ? 'stuck' : 'lost', `${when}: ${message}`);
    }
  }

  /** Two in a row are equal: one that is taken while a thread handles a signal has the signal blocked. */
  async #takeSettled(): Promise<Fingerprint> {
    const end = performance.now() + SETTLE_MS;
    let last = await takeFingerprint(this.machine, this.#pid);
    for (;;) {
      const next = await takeFingerprint(this.machine, this.#pid);
      if (compare(last, next) === '' || performance.now() > end) return next;
      last = next;
    }
  }

  async #findDifference(when: string): Promise<string> {
    const after = await this.#takeFingerprint(when);
    const parasite = hasParasite(after) && !this.#leavesParasite ? "CRIU's parasite is left; " : '';
    if (hasParasite(after)) this.#note("CRIU's parasite is left in the process");
    return parasite + this.#reads.difference + compare(this.#before, after);
  }

  async #checkIdentical(when: string): Promise<void> {
    const start = performance.now();
    let difference = await this.#findDifference(when);
    // the interceptor's thread closes its socket a moment after it has said that it is done
    while (difference !== '' && performance.now() < start + SETTLE_MS) {
      await delay(SETTLE_PAUSE_MS);
      difference = await this.#findDifference(when);
    }
    if (difference !== '') throw new Verdict('wrong', `${when}: ${difference}`);
    if (performance.now() > start + NOTED_MS) this.#note(`${when}, it took a while to be identical`);
  }

  #isTidTaken(result: OperationResult): boolean {
    return result.kind === 'failed' && TAKEN_TID.test(this.#log('restore.log'));
  }

  async #restoreCleanly(when: string): Promise<void> {
    await untilCollected(BACKGROUND_MS);
    if (this.machine.removeGhosts()) this.#note("CRIU's ghost file was left");
    let result = await this.#operator.restore(this.#call());
    for (let i = 0; i < TID_TRIES && this.#isTidTaken(result); i++) {
      if (i === 0) this.#note('the id of a thread was not free yet');
      await delay(TID_PAUSE_MS);
      result = await this.#operator.restore(this.#call());
    }
    this.#must(`the restore ${when}`, result);
    await this.#checkIdentical(`after the restore ${when}`);
  }

  /** Whether the fault makes CRIU leave its parasite in a task, also without a plugin. */
  get #leavesParasite(): boolean {
    const { fault } = this.plan;
    return this.#endsCriu || (fault.kind === 'signal' && fault.signal === 'SIGSTOP');
  }

  /** Whether the fault ends criu while it works in a task. */
  get #endsCriu(): boolean {
    const { fault } = this.plan;
    if (fault.kind === 'memory') return fault.target === 'criu';
    const isCriu = fault.kind === 'signal' && ['criu', 'caller', 'criu+watcher'].includes(fault.target);
    return isCriu && fault.signal !== 'SIGSTOP';
  }

  /** The command line was killed: criu works on, and nobody removes what it leaves. */
  get #isCallerKilled(): boolean {
    const { fault } = this.plan;
    return fault.kind === 'signal' && fault.target === 'caller' && fault.signal === 'SIGKILL';
  }

  /** The fault has killed the program, which may take a moment. */
  get #isProgramKilled(): boolean {
    const { fault } = this.plan;
    const kills = fault.kind === 'signal' && ['program', 'task'].includes(fault.target);
    return kills && fault.signal === 'SIGKILL' && this.isHit;
  }

  /** Whether the fault itself may have ended the program. */
  get #mayBeGone(): boolean {
    const { fault, needsUndo } = this.plan;
    // the watcher is under criu's limit, too
    if (fault.kind === 'memory') return fault.target === 'program' || (this.#injector?.memoryKills ?? 0) > 1;
    if (fault.kind !== 'signal') return false;
    return ['program', 'criu+watcher'].includes(fault.target) || (needsUndo && fault.target === 'watcher');
  }

  async #dumpWithFault(leaveRunning: boolean): Promise<Outcome> {
    const result = await this.#withFault((call) => this.#operator.dump(this.#pid, call), leaveRunning);
    const { imagesDir } = this.machine;
    if (result.kind === 'done') {
      if (leaveRunning && (isAlive(this.#pid) || !this.#mayBeGone)) {
        await this.#checkIdentical('after the dump');
        await killTree(this.#pid);
      } else if (!leaveRunning && isAlive(this.#pid))
        throw new Verdict('wrong', 'the dump succeeded, and the program has not ended');
      await this.#restoreCleanly('after the dump');
      return 'restored';
    }
    if (isAlive(this.#pid)) return this.#survive(result.message);
    await untilCollected(BACKGROUND_MS);
    if (hasCheckpoint(imagesDir)) {
      await this.#restoreCleanly('from a dump that failed at its end');
      return 'restored';
    }
    if (this.#mayBeGone) return 'gone';
    throw new Verdict('lost', `it has ended without an image: ${result.message}`);
  }

  async #survive(message: string): Promise<Outcome> {
    const { machine } = this;
    await this.#checkIdentical(`after the failed dump (${message})`);
    const files = machine.list(machine.imagesDir).filter((name) => !name.endsWith('.log'));
    if (this.#isCallerKilled) machine.clearImages();
    else if (files.length > 0)
      throw new Verdict('leftover', `a failed dump leaves ${files.slice(0, 4).join(', ')} (${message})`);
    if (!this.plan.again) return 'survived';
    if ((await this.#dumpCleanly('a second dump')) === undefined)
      await this.#restoreCleanly('from a second dump');
    return 'survived';
  }

  async #restoreWithFault(): Promise<Outcome> {
    const result = await this.#withFault((call) => this.#operator.restore(call), false);
    if (result.kind === 'done') {
      if (this.#isProgramKilled) await untilGone(this.#pid, ENDING_MS);
      if (!isAlive(this.#pid)) {
        const restored = await this.#restoreAgain('after it was killed');
        if (this.#mayBeGone) return restored;
        throw new Verdict('wrong', 'the restore is said to have succeeded, and the program has ended');
      }
      await this.#checkIdentical('after the restore with a fault');
      return 'restored';
    }
    if (isAlive(this.#pid) && this.#isCallerKilled) {
      await this.#checkIdentical('after a restore whose command line was killed');
      return 'restored';
    }
    if (isAlive(this.#pid))
      throw new Verdict('leftover', `the restore failed, and a process is left (${result.message})`);
    return this.#restoreAgain(`after a failed one (${result.message})`);
  }

  async #restoreAgain(when: string): Promise<Outcome> {
    await killTree(this.#pid);
    await untilCollected(BACKGROUND_MS);
    await this.#restoreCleanly(when);
    return 'restored';
  }

  async #operate(): Promise<Outcome> {
    const { operation } = this.plan;
    if (operation === 'dump' || operation === 'leave-running')
      return this.#dumpWithFault(operation !== 'dump');
    const refusal = await this.#dumpCleanly('the dump');
    if (refusal !== undefined) return 'survived';
    if (operation === 'restore-twice') {
      await this.#restoreCleanly('before the fault');
      await killTree(this.#pid);
    }
    await untilCollected(BACKGROUND_MS);
    return this.#restoreWithFault();
  }

  async run(): Promise<{ outcome: Outcome; detail: string }> {
    try {
      await this.#start();
      const outcome = await this.#operate();
      if (this.#pid > 0) await killTree(this.#pid);
      const leftovers = await findLeftovers(this.machine, this.#isCallerKilled);
      if (leftovers !== '') return { outcome: 'leftover', detail: leftovers };
      if (this.#result?.kind === 'failed') this.#note(this.#result.message);
      return { outcome, detail: this.#notes.join('; ') };
    } catch (error) {
      if (error instanceof Verdict) return this.#judge(error);
      throw error;
    }
  }

  #judge({ outcome, message }: Verdict): { outcome: Outcome; detail: string } {
    const logs = { dump: this.#log('dump.log'), restore: this.#log('restore.log') };
    const own = this.plan.variant === 'none' ? undefined : criusOwn(this.plan, outcome, logs);
    return own === undefined
      ? { outcome, detail: message }
      : { outcome: ownOutcome, detail: `${own} (${outcome}: ${message})` };
  }

  get isHit(): boolean {
    return this.#injector?.isHit ?? false;
  }

  counts(): number[] {
    return this.#injector?.counts() ?? [];
  }

  /** The logs of criu, for a cycle that went wrong. */
  logs(): string {
    return ['dump.log', 'restore.log'].flatMap((name) => [`== ${name}`, this.#log(name)]).join('\n');
  }

  #log(name: string): string {
    const path = `${this.machine.imagesDir}/${name}`;
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  async close(): Promise<void> {
    await this.#injector?.disarm();
    await killAll();
    this.#injector?.close();
    this.machine.close();
  }
}

/** Runs one cycle. @param keep called with the cycle's directory and logs before they are removed */
export async function runCycle(
  plan: Plan,
  keep: (result: CycleResult, cycle: { counts: number[]; logs: string }) => void = () => undefined,
): Promise<CycleResult> {
  const start = performance.now();
  const cycle = new Cycle(plan);
  try {
    const { outcome, detail } = await cycle.run();
    const result = { outcome, detail, hit: cycle.isHit, ms: Math.round(performance.now() - start) };
    keep(result, { counts: cycle.counts(), logs: cycle.logs() });
    return result;
  } finally {
    await cycle.close();
  }
}
