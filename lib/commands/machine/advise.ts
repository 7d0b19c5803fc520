// SPDX-License-Identifier: MIT
import { InvalidArgumentError, type Command } from 'commander';
import { advise, type Advice } from '../../advise/index.ts';
import { addExamples } from '../../command-line/index.ts';
import { formatBytes, table, type Io } from '../../output.ts';
import { parsePid } from '../operation-options.ts';

interface Flags {
  pid?: number | undefined;
  modelGib?: number | undefined;
  gpuMemoryUtilization?: number | undefined;
  store: string;
  limits?: string | undefined;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('not a number above 0');
  return value;
}

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

function adviceText(advice: Advice): string {
  const { variant, settings, commands, amounts, ways, faster, utilizations, problems, assumptions } = advice;
  const set = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const parts = [
    [
      `variant ${variant}: a restore of ${formatBytes(amounts.deviceBytes)} of device memory takes about ${seconds(advice.restoreMs)} s`,
      ...(set.length === 0 ? [] : [`settings: ${set.join(' ')}`]),
      ...commands.map((line) => `  ${line}`),
    ].join('\n'),
    table(
      ['variant', 'restore, s', 'here', 'needs'],
      ways.map(({ way, restoreMs, possible, needs }) => [
        way,
        seconds(restoreMs),
        possible ? 'yes' : 'no',
        needs,
      ]),
    ),
    ...(faster.length === 0
      ? []
      : [
          table(
            ['what would make it faster', 'saves, s'],
            faster.map(({ what, savesMs }) => [what, seconds(savesMs)]),
          ),
        ]),
    ...(utilizations.length === 0
      ? []
      : [
          table(
            ['--gpu-memory-utilization', 'device memory', `restore with ${variant}, s`],
            utilizations.map((one) => [
              one.utilization.toFixed(2),
              formatBytes(one.deviceBytes),
              seconds(one.restoreMs),
            ]),
          ),
        ]),
    [
      ...problems.map((one) => `problem: ${one}`),
      ...assumptions.map((one) => `assumed: ${one}`),
      `rates: ${advice.source}; the times are estimates, criu-cuda bench measures`,
    ].join('\n'),
  ];
  return parts.join('\n\n');
}

export function defineAdvise(command: Command, io: Io): void {
  command
    .option('--pid <pid>', 'advice for this process', parsePid)
    .option('--model-gib <gib>', 'device memory of a program, or the weights of a model', positive)
    .option('--gpu-memory-utilization <share>', "vLLM's share of the GPU, which the KV cache fills", positive)
    .option('--store <dir>', 'directory for images', '/dev/shm')
    .option(
      '--limits <path>',
      'result of bench limits, or a directory with one (default: the newest below results)',
    )
    .action(async ({ pid, modelGib, gpuMemoryUtilization, store, limits }: Flags) => {
      const advice = await advise({
        ...{ pid, modelGib, utilization: gpuMemoryUtilization, store, limits },
        signal: io.signal,
      });
      io.result(advice, () => adviceText(advice));
    });
  addExamples(
    command,
    'criu-cuda advise --pid 4711',
    'criu-cuda advise --model-gib 3 --gpu-memory-utilization 0.30 --store /mnt/huge',
  );
}
