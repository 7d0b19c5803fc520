// SPDX-License-Identifier: MIT
/**
 * Injects faults into dumps and restores of random programs, and checks after each that nothing was lost. Run it with
 * `npm run campaign`; it needs the namespaces that scripts/campaign.mjs makes.
 */
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { projectRoot } from '../../lib/paths.ts';
import { criuProgram } from '../helpers/criu.ts';
import { runCycle } from './cycle.ts';
import { canUseCgroups } from './faults.ts';
import { isolate } from './machine.ts';
import { parseOptions, usage, type CampaignOptions } from './options.ts';
import { choosePlan, type PlanOptions } from './plan.ts';
import { Report } from './report.ts';
import { summarize, type RunHead } from './summarize.ts';
import { faultLabel } from './steps.ts';
import { isBad, type Plan } from './types.ts';

const PROGRESS_CYCLES = 100;

function planOptions(options: CampaignOptions): PlanOptions {
  const { seed, baseline, variant, rootOnly } = options;
  const cgroups = canUseCgroups();
  if (!cgroups)
    console.log('no cgroups of the old hierarchy here: neither frozen programs nor limits of memory');
  return { seed, baseline, variant, rootOnly, cgroups };
}

/** The commit that runs, and `-dirty` if files differ from it. */
function commitOf(): string {
  const { status, stdout } = spawnSync('git', ['-C', projectRoot, 'describe', '--always', '--dirty'], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : 'unknown';
}

function describeRun({ seed, baseline }: CampaignOptions): RunHead {
  const criu = spawnSync(criuProgram(), ['--version'], { encoding: 'utf8' });
  const version = /^Version: (\S+)/m.exec(criu.stdout)?.[1] ?? 'unknown';
  const started = new Date().toISOString();
  return { run: { seed, commit: commitOf(), kernel: release(), criu: version, baseline, started } };
}

function repeatCommand(options: CampaignOptions, cycle: number): string {
  const more = [
    options.baseline ? ' --baseline' : '',
    options.rootOnly ? ' --root-only' : '',
    options.variant === undefined ? '' : ` --variant ${options.variant}`,
  ];
  return `npm run campaign -- --seed ${options.seed} --cycle ${cycle}${more.join('')}`;
}

const isWanted = ({ site, fault }: Plan, only = ''): boolean =>
  `${site}, ${faultLabel(fault)}`.includes(only);

async function runOne(options: CampaignOptions, cycle: number): Promise<number> {
  const plan = choosePlan(planOptions(options), cycle);
  console.log(JSON.stringify(plan, null, 2));
  let text = '';
  const result = await runCycle(plan, (_, { logs }) => {
    text = logs;
  });
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve)); // all of it, also to a pipe
  console.log(JSON.stringify(result));
  return isBad(result.outcome) ? 1 : 0;
}

async function runMany(options: CampaignOptions): Promise<number> {
  const plans = planOptions(options);
  const report = new Report(options.out);
  report.begin(describeRun(options));
  const end = performance.now() + options.minutes * 60_000;
  for (let cycle = 0; performance.now() < end; cycle++) {
    const plan = choosePlan(plans, cycle);
    if (!isWanted(plan, options.only)) continue;
    const result = await runCycle(plan, (found, { logs }) => {
      if (isBad(found.outcome)) report.keepLogs(cycle, logs);
    });
    report.add(plan, result);
    if (isBad(result.outcome)) console.log(`${report.bad.at(-1) ?? ''}\n  ${repeatCommand(options, cycle)}`);
    if (isBad(result.outcome) && !options.keepGoing) break;
    if (cycle % PROGRESS_CYCLES === PROGRESS_CYCLES - 1) console.log(report.summary);
  }
  if (report.isEmpty) {
    console.error(`no cycle fits --only ${options.only ?? ''}`);
    return 1;
  }
  console.log(`\n${report.coverage()}\n\nseed ${options.seed}: ${report.summary}`);
  return report.bad.length > options.tolerated ? 1 : 0;
}

async function main(): Promise<number> {
  let options: CampaignOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  if (options.help) {
    console.log(usage);
    return 0;
  }
  if (options.summarize !== undefined) {
    summarize(options.summarize, options.out ?? 'summary.jsonl');
    return 0;
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => process.exit(130));
  console.log(`seed ${options.seed}`);
  isolate();
  return options.cycle === undefined ? runMany(options) : runOne(options, options.cycle);
}

process.exit(await main());
