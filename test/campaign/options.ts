// SPDX-License-Identifier: MIT
/** The arguments of `npm run campaign`. */
import { parseArgs } from 'node:util';
import { variants, type Variant } from './types.ts';

export interface CampaignOptions {
  minutes: number;
  seed: string;
  /** Path of a file to which results are appended. */
  out: string | undefined;
  /** Only this cycle. */
  cycle: number | undefined;
  variant: Variant | undefined;
  /** Only cycles whose step and fault, as the report names them, contain this. */
  only: string | undefined;
  baseline: boolean;
  /** No programs of other users. */
  rootOnly: boolean;
  /** So many bad outcomes do not fail the run. */
  tolerated: number;
  /** Continues after a bad outcome. */
  keepGoing: boolean;
  /** Only sums up the results in this directory. */
  summarize: string | undefined;
  /** Only says what the arguments are. */
  help: boolean;
}

export const usage = `npm run campaign -- [--minutes N] [--seed S] [--out FILE] [--cycle K] [--variant NAME] [--only TEXT] [--baseline] [--tolerate N]
  --minutes N     how long to run (default 3)
  --seed S        repeats a run (default: from the time)
  --out FILE      appends a JSON line per cycle, and writes CRIU's logs of bad ones to FILE-CYCLE.log
  --cycle K       only cycle K of the seed, with its logs
  --variant NAME  only this variant: ${variants.join(', ')}
  --only TEXT     only cycles with TEXT in their step and fault: 'dump/delay, SIGSTOP', 'SIGKILL criu+watcher'
  --baseline      criu alone, without CUDA and plugin: what CRIU itself loses
  --tolerate N    up to N bad outcomes do not fail the run (default 0)
  --root-only     no programs of other users
  --fail-fast     ends at the first bad outcome
  --summarize DIR only writes the sums of the results in DIR to --out FILE, and the table in test/campaign/README.md`;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text)) throw new Error(`--${name} ${text}: not a whole number`);
  return value;
}

function minutesOf(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--minutes ${text}: not a number of minutes`);
  return value;
}

function variantOf(name: string | undefined): Variant | undefined {
  const found = variants.find((one) => one === name);
  if (name !== undefined && found === undefined)
    throw new Error(`--variant ${name}: accepted are ${variants.join(', ')}`);
  return found;
}

/** @throws when an argument is wrong */
export function parseOptions(args: readonly string[]): CampaignOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{
        minutes: text,
        seed: text,
        out: text,
        cycle: text,
        variant: text,
        only: text,
        tolerate: text,
        summarize: text,
      },
      ...{ baseline: flag, 'root-only': flag, 'fail-fast': flag, help: flag },
    },
  });
  return {
    minutes: minutesOf(values.minutes ?? '3'),
    seed: values.seed ?? String(Date.now() % 1_000_000_000),
    out: values.out,
    cycle: values.cycle === undefined ? undefined : wholeNumber('cycle', values.cycle),
    variant: variantOf(values.variant),
    only: values.only,
    baseline: values.baseline,
    tolerated: wholeNumber('tolerate', values.tolerate ?? '0'),
    rootOnly: values['root-only'],
    keepGoing: !values['fail-fast'],
    summarize: values.summarize,
    help: values.help,
  };
}
