// SPDX-License-Identifier: MIT
/** A running workload-state: how it is started, asked and ended. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno } from '../../lib/errno.ts';
import { buildDir, interceptorLibrary } from '../../lib/paths.ts';
import { isAlive, readProcessTree } from '../../lib/process/index.ts';
import { Program } from '../../lib/workload/index.ts';
import type { CampaignMachine } from './machine.ts';
import type { ProgramPlan } from './types.ts';

const START_MS = 20_000;
const RETRY_MS = 2;

function argumentsOf(plan: ProgramPlan): string[] {
  const numbers = {
    ...{ seed: plan.seed, regions: plan.regions, children: plan.children, threads: plan.threads },
    ...{ descriptors: plan.descriptors, pinned: plan.pinnedKib, uid: plan.uid },
    ...{ as: plan.asMib, nofile: plan.nofile, stack: plan.stackKib, large: plan.largeMib },
  };
  return [
    ...Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...plan.allocKib.flatMap((kib) => ['--alloc', String(kib)]),
    ...(plan.cuda ? ['--cuda'] : []),
    ...(plan.childCuda ? ['--child-cuda'] : []),
  ];
}

/** Whether a thread of the driver or the interceptor has started but not taken its name and its signal mask yet. */
function isStarting(pid: number): boolean {
  return readProcessTree(pid).some((member) =>
    readdirSync(`/proc/${member.pid}/task`).some((tid) => {
      const status = readFileSync(`/proc/${member.pid}/task/${tid}/status`, 'utf8');
      return /^Name:\tworkload-state$/m.test(status) && /^SigBlk:\tf{11}bfeff$/m.test(status);
    }),
  );
}

/** Starts it and waits until it answers. @returns its pid */
export async function startProgram(machine: CampaignMachine, plan: ProgramPlan): Promise<number> {
  const { socketPath, filesDir, env } = machine;
  const words = [join(buildDir(), 'test-tools', 'workload-state'), '--socket', socketPath, '--dir', filesDir];
  const log = `${machine.dir}/program.log`;
  const preload = plan.interceptor ? { LD_PRELOAD: interceptorLibrary() } : {};
  const program = await Program.run([...words, ...argumentsOf(plan)], { ...env, ...preload }, log);
  const end = performance.now() + START_MS;
  for (;;) {
    try {
      await askProgram(machine, START_MS);
      while (isStarting(program.pid) && performance.now() < end) await delay(RETRY_MS);
      return program.pid;
    } catch (error) {
      if (!isAlive(program.pid)) throw new Error(`the program did not start: ${readFileSync(log, 'utf8')}`);
      if (!isErrno(error, 'ENOENT', 'ECONNREFUSED') || performance.now() > end) throw error;
      await delay(RETRY_MS); // nothing announces that it listens
    }
  }
}

/** What it reports about itself; it has closed the connection by then. @throws when it does not answer in time */
export function askProgram(machine: CampaignMachine, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(machine.socketPath);
    let answer = '';
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    socket.on('data', (data) => (answer += data.toString()));
    socket.once('error', reject);
    socket.once('close', () => {
      if (answer.endsWith('\n')) resolve(answer);
      else reject(new Error('the program closed the connection instead of answering'));
    });
    socket.write('report\n');
  });
}
