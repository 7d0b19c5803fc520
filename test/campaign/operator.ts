// SPDX-License-Identifier: MIT
/** Dumps and restores: through the library in this process, through the command line, or with criu alone. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkpoint } from '../../lib/checkpoint/index.ts';
import { prepareImagesDir, rollBackImages } from '../../lib/checkpoint/images-dir.ts';
import { dumpArguments, restoreArguments, runCriu } from '../../lib/criu/index.ts';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { isAlive } from '../../lib/process/index.ts';
import { restore } from '../../lib/restore/index.ts';
import type { PluginVariant } from '../../lib/variant.ts';
import { criuProgram } from '../helpers/criu.ts';
import { killAll, untilCollected } from './processes.ts';
import type { CampaignMachine } from './machine.ts';
import type { Plan } from './types.ts';

/** Nothing of a cycle may take longer, on however busy a machine. */
const DEADLINE_MS = 30_000;

export type OperationResult = { kind: 'done' } | { kind: 'failed'; message: string } | { kind: 'stuck' };

export interface Call {
  /** Added to the environment of criu. */
  env: Record<string, string>;
  extraArgs: string[];
  leaveRunning: boolean;
  signal: AbortSignal;
  /** Called with the pid of the command line. */
  onSpawn: (pid: number) => void;
}

/** How long a killed tree may be visible. */
const WAIT_MS = 5000;

const criu = criuProgram();

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function withinDeadline(work: Promise<unknown>): Promise<OperationResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<OperationResult>((resolve) => {
    timer = setTimeout(() => {
      resolve({ kind: 'stuck' });
    }, DEADLINE_MS);
  });
  const done = work.then(
    (): OperationResult => ({ kind: 'done' }),
    (error: unknown): OperationResult => ({ kind: 'failed', message: messageOf(error) }),
  );
  const result = await Promise.race([done, late]);
  clearTimeout(timer);
  return result;
}

export class Operator {
  readonly #machine: CampaignMachine;
  readonly #plan: Plan;

  constructor(machine: CampaignMachine, plan: Plan) {
    this.#machine = machine;
    this.#plan = plan;
  }

  get #variant(): PluginVariant {
    const { variant } = this.#plan;
    return variant === 'none' ? 'stock' : variant === 'full+daemon' ? 'full' : variant;
  }

  dump(pid: number, call: Call): Promise<OperationResult> {
    if (this.#plan.variant === 'none') return withinDeadline(this.#criuDump(pid, call));
    if (this.#plan.face === 'command') {
      const words = ['checkpoint', '--pid', String(pid), ...(call.leaveRunning ? ['--leave-running'] : [])];
      return withinDeadline(this.#command(words, call));
    }
    const { leaveRunning } = call;
    return withinDeadline(checkpoint({ ...this.#options(call), pid, leaveRunning }));
  }

  restore(call: Call): Promise<OperationResult> {
    if (this.#plan.variant === 'none') return withinDeadline(this.#criuRestore(call));
    if (this.#plan.face === 'command') return withinDeadline(this.#command(['restore', '--detach'], call));
    return withinDeadline(restore(this.#options(call)));
  }

  #options(call: Call) {
    const { imagesDir, env } = this.#machine;
    return {
      ...{ imagesDir, criu, variant: this.#variant, verbosity: 4 },
      ...{ env: { ...env, ...call.env }, extraArgs: call.extraArgs, signal: call.signal },
    };
  }

  async #command(words: string[], call: Call): Promise<void> {
    const args = [
      ...words,
      '--images-dir',
      this.#machine.imagesDir,
      '--variant',
      this.#variant,
      '--verbosity',
      '4',
    ];
    const extra = call.extraArgs.length > 0 ? ['--', ...call.extraArgs] : [];
    const { exitCode, stderr } = await execResult(
      process.execPath,
      [join(projectRoot, 'dist', 'cli.js'), ...args, ...extra],
      {
        env: { ...this.#machine.env, CRIU_CUDA_CRIU: criu, ...call.env },
        timeoutMs: 2 * DEADLINE_MS,
        onSpawn: call.onSpawn,
      },
    );
    if (exitCode !== 0) throw new Error(stderr.trim().split('\n').at(-1) ?? `exit code ${exitCode}`);
  }

  /** Options of criu without a plugin: its plugin directory is empty. */
  #plainOptions(call: Call) {
    const { imagesDir, dir } = this.#machine;
    const libdir = join(dir, 'no-plugin');
    mkdirSync(libdir, { recursive: true });
    return { imagesDir, workDir: imagesDir, libdir, verbosity: 4, extraArgs: call.extraArgs };
  }

  async #plainRun(stage: 'dump' | 'restore', args: string[], call: Call): Promise<void> {
    const { imagesDir: workDir, runDir } = this.#machine;
    const { exitCode, error, log } = await runCriu({
      ...{ stage, criu, args, workDir, runDir },
      ...{ env: { ...this.#machine.env, ...call.env }, signal: call.signal },
    });
    if (exitCode !== 0) throw new Error(log.message ?? messageOf(error));
  }

  async #criuDump(pid: number, call: Call): Promise<void> {
    const { leaveRunning } = call;
    prepareImagesDir(this.#machine.imagesDir, false);
    try {
      await this.#plainRun('dump', dumpArguments({ ...this.#plainOptions(call), pid, leaveRunning }), call);
    } catch (error) {
      await untilCollected(WAIT_MS);
      if (isAlive(pid)) rollBackImages(this.#machine.imagesDir);
      throw error;
    }
    if (!leaveRunning) await untilCollected(WAIT_MS);
  }

  async #criuRestore(call: Call): Promise<void> {
    const pidFile = join(this.#machine.dir, `pid-${performance.now()}`);
    try {
      await this.#plainRun('restore', restoreArguments({ ...this.#plainOptions(call), pidFile }), call);
    } catch (error) {
      await killAll(); // as the library does
      throw error;
    }
  }
}
