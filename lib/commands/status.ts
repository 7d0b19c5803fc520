// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../command-line/index.ts';
import { memoryText } from '../criu/index.ts';
import { listOperations, type OperationProcess, type OperationRecord } from '../operations/index.ts';
import type { Io } from '../output.ts';
import { wholeNumber } from './operation-options.ts';

const MAX_LAST = 1000;
const ID_CHARACTERS = 12;

const timeText = (timeMs: number): string =>
  new Date(timeMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');

/** What became of a process. One that a dump let run has been given its memory back, as after a failed dump. */
function outcomeText({ outcome }: OperationProcess, operation: OperationRecord['outcome']): string {
  if (outcome === 'rolled-back') return operation === 'succeeded' ? 'dumped, runs on' : 'rolled back';
  return outcome ?? 'not reached';
}

function processText(process: OperationProcess, operation: OperationRecord['outcome']): string[] {
  const { pid, name, reason, memory } = process;
  const who = name === null ? String(pid) : `${pid} ${name}`;
  const what = outcomeText(process, operation);
  return [
    `process ${who}: ${what}${reason === null ? '' : `: ${reason}`}`,
    ...(memory === null ? [] : memoryText([memory])),
  ];
}

/** One operation for people. */
export function operationText(record: OperationRecord): string {
  const { kind, timeMs, outcome, reason, hint, log, caller, container, imagesDir, processes, warnings } =
    record;
  const by = caller === null ? '' : ` by ${caller}`;
  const of =
    container === null ? '' : ` of ${container.engine} container ${container.id.slice(0, ID_CHARACTERS)}`;
  return [
    `${timeText(timeMs)}  ${kind}${of}${by}: ${outcome}${reason === null ? '' : `: ${reason}`}`,
    ...(hint === null ? [] : [`hint: ${hint}`]),
    ...(log === null ? [] : [`log: ${log}`]),
    ...(imagesDir === null ? [] : [`images: ${imagesDir}`]),
    ...processes.flatMap((one) => processText(one, outcome)),
    ...warnings.map((warning) => `warning: ${warning}`),
  ].join('\n  ');
}

function show(io: Io, last: number | true | undefined): void {
  const records = listOperations({ last: last === true ? 1 : last });
  io.result(records, () =>
    records.length === 0
      ? 'no dump or restore of a CUDA process is recorded'
      : records.map(operationText).join('\n'),
  );
}

export function defineStatus(command: Command, io: Io): void {
  command
    .option('--last [n]', 'only the latest n operations (default: 1)', wholeNumber(1, MAX_LAST))
    .action(({ last }: { last?: number | true }) => {
      show(io, last);
    });
  addExamples(command, 'criu-cuda status --last', 'criu-cuda status --last 10 --json');
}
