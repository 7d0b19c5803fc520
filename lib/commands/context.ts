// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, pidOperand, withOptions } from '../command-line/index.ts';
import {
  listContexts,
  watchContexts,
  type ContextChange,
  type ContextSnapshot,
  type GpuContext,
} from '../context/index.ts';
import { formatBytes, table, type Io } from '../output.ts';
import { parsePid, wholeNumber } from './operation-options.ts';
import { workText } from './pool-work.ts';

/** What is left of 100 columns. */
const COMMAND_COLUMNS = 26;
const UUID_COLUMNS = 12;
const ID_COLUMNS = 12;
const DAY_MS = 86_400_000;

const cut = (text: string, columns: number): string =>
  text.length > columns ? `${text.slice(0, columns - 1)}…` : text;

function gpuText({ deviceUuid, mig }: GpuContext): string {
  if (deviceUuid === null) return '–';
  const uuid = deviceUuid.slice(0, UUID_COLUMNS);
  return mig === null ? uuid : `${uuid} ${mig.gpuInstanceId}/${mig.computeInstanceId}`;
}

function ownerText({ owner: { kind, poolPid, criuPid } }: GpuContext): string {
  const pool = poolPid === null || kind === 'application' ? [] : [`pool ${poolPid}`];
  return [kind, ...pool, ...(criuPid === null ? [] : [`criu ${criuPid}`])].join('\n');
}

function commandText({ command, container }: GpuContext): string {
  const within = container === null ? [] : [`${container.engine} ${container.id.slice(0, ID_COLUMNS)}`];
  return [cut(command, COMMAND_COLUMNS), ...within].join('\n');
}

const usedText = ({ usedBytes }: GpuContext): string => (usedBytes === null ? '–' : formatBytes(usedBytes));

function rowOf(context: GpuContext): string[] {
  return [
    String(context.pid),
    gpuText(context),
    usedText(context),
    context.state,
    ownerText(context),
    context.interceptor?.gate ?? '–',
    commandText(context),
  ];
}

const nothingText = (pid: number | undefined): string =>
  pid === undefined
    ? 'no CUDA process that this user may look at'
    : `process ${pid} does not exist, does not use CUDA, or belongs to a user that this one may not look at`;

/** At most 100 columns. @param pid the only process that was asked for */
export function snapshotText({ contexts, pool }: ContextSnapshot, pid?: number): string {
  const text: string[] = [];
  if (contexts.length === 0) text.push(nothingText(pid));
  else text.push(table(['pid', 'GPU', 'used', 'state', 'memory', 'gate', 'command'], contexts.map(rowOf)));
  if (pool) text.push(`cuda-poold ${pool.version}, pid ${pool.pid}`, ...workText(pool));
  return text.join('\n');
}

const shortText = (context: GpuContext): string => {
  const { state, owner, interceptor } = context;
  const gate = interceptor === null ? [] : [`gate ${interceptor.gate}`];
  return [state, usedText(context), owner.kind, ...gate].join(', ');
};

/** A line for each context that is different. */
export function changeText({ appeared, changed, gone }: ContextChange): string {
  const line = (context: GpuContext, text: string): string => `${context.pid} ${gpuText(context)}: ${text}`;
  return [
    ...gone.map((context) => line(context, 'gone')),
    ...appeared.map((context) =>
      line(context, `${shortText(context)} (${cut(context.command, COMMAND_COLUMNS)})`),
    ),
    ...changed.map(({ previous, current }) =>
      line(current, `${shortText(previous)} → ${shortText(current)}`),
    ),
  ].join('\n');
}

async function list(io: Io, pid: number | undefined): Promise<void> {
  const snapshot = await listContexts({ pid, signal: io.signal });
  io.result(snapshot, () => snapshotText(snapshot, pid));
}

async function watch(io: Io, options: { pid?: number; intervalMs?: number }): Promise<void> {
  for await (const change of watchContexts({ ...options, signal: io.signal })) {
    const text = io.json ? JSON.stringify(change) : changeText(change);
    if (text !== '') io.out(text);
  }
}

export function defineContext(group: Command, io: Io): void {
  const pid = { ...pidOperand(parsePid, 'only this process'), isOptional: true };
  const add = (name: string, description: string): Command =>
    addOperands(group.command(name).description(description), [pid]);
  const listed = add(
    'list',
    'each CUDA process and GPU: memory, state, owner, gate; and the contexts of the pool',
  ).action(withOptions((flags: { pid?: number }) => list(io, flags.pid)));
  addExamples(listed, 'criu-cuda context list', 'criu-cuda context list 4711 --json');
  const watched = add('watch', 'print each change until interrupted; of one process until it ends')
    .option('--interval-ms <ms>', 'between two looks (default: 250)', wholeNumber(0, DAY_MS))
    .action(withOptions((options: { pid?: number; intervalMs?: number }) => watch(io, options)));
  addExamples(watched, 'criu-cuda context watch', 'criu-cuda context watch 4711 --json');
}
