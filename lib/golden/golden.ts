// SPDX-License-Identifier: MIT
/**
 * Golden checkpoints: a server is started, warmed up and checkpointed once, and then restored any number of times.
 * Its answers are kept with the checkpoint.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import {
  checkpointContainer,
  createContainer,
  findContainer,
  imagesPlace,
  removeContainer,
  requireContainer,
  restoreContainer,
  sayingWhatRuns,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerInfo,
  type ContainerRestoreResult,
  type ImportOptions,
} from '../container/index.ts';
import type { OnTransfer } from '../process/index.ts';
import { type ServerAnswer, Server, type ServerOptions } from '../server/index.ts';
import { containerHost } from './container-host.ts';
import { UsageError } from '../errors.ts';
import { appendRecord, readArchivedRecord, recordName } from './archive.ts';
import { GoldenError } from './error.ts';
import { checkCount } from '../check.ts';

/** The container to start, and how its server is asked. */
export interface GoldenCreateOptions extends ContainerCreateOptions {
  /** How the server is asked. */
  server: ServerOptions;
  /** Requests before the checkpoint, at least one: a restore is compared with the last answer. @default 3 */
  warmup?: number | undefined;
  /** Also write the checkpoint to this tar file. */
  exportTo?: string | undefined;
  /** The criu program. @default the one that `criu-cuda setup` finds */
  criu?: string | undefined;
  /** Create it again even if a golden checkpoint of this name exists. @default false */
  force?: boolean | undefined;
  /** Called when a step begins. */
  onProgress?: ((what: string) => void) | undefined;
  /**
   * Called about three times per second with the bytes of the image that are fetched, the total of which is infinite, and
   * then of the checkpoint that are written.
   */
  onTransfer?: OnTransfer | undefined;
}

const answerSchema = z.object({
  /** HTTP status. */
  status: z.int(),
  /** From the request to the first token, milliseconds. */
  firstTokenMs: z.number(),
  /** To the end of the answer, milliseconds. */
  durationMs: z.number(),
  /** The answer. */
  text: z.string(),
  /** Tokens of the answer, if the server or the stream tells; absent in older records. */
  tokens: z.number().optional(),
});

const recordSchema = z.object({
  /** Of this record. */
  schemaVersion: z.literal(1),
  /** How the server is asked. */
  server: z.object({
    /** `http://127.0.0.1:8000` */
    url: z.string(),
    /** Path that answers 200 when the server is healthy. */
    healthPath: z.string().optional(),
    /** Path of the request. */
    requestPath: z.string().optional(),
    /** JSON of the request. */
    body: z.unknown().optional(),
    /** Until it is healthy, milliseconds. */
    healthTimeoutMs: z.number().optional(),
  }),
  /** From the start of the container to a healthy server. Milliseconds. */
  healthyMs: z.number(),
  /** The answers before the checkpoint; the last one is compared with. */
  warmup: z.array(answerSchema).min(1),
});

/** What is kept with a golden checkpoint. */
export type GoldenRecord = z.infer<typeof recordSchema>;

/** A golden checkpoint. */
export interface GoldenResult {
  /** Name of the container. */
  name: string;
  /** False if it existed already. */
  created: boolean;
  /** Absolute path of the images directory. */
  imagesDir: string;
  /** What the server answered before. */
  record: GoldenRecord;
  /** The checkpoint of this call, if it took one. */
  checkpoint: ContainerCheckpointResult | undefined;
}

const recordPath = (container: ContainerInfo): string => join(container.dir, recordName);

function parseRecord(text: string, path: string, name: string): GoldenRecord {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new GoldenError('ERR_GOLDEN', `${path} is damaged`, {
      cause,
      hint: `criu-cuda golden create --force ${name}`,
    });
  }
}

function readRecord(container: ContainerInfo): GoldenRecord | undefined {
  const path = recordPath(container);
  return existsSync(path) ? parseRecord(readFileSync(path, 'utf8'), path, container.name) : undefined;
}

const recordText = (record: GoldenRecord): string => `${JSON.stringify(record, null, 1)}\n`;

const hasCheckpoint = (container: ContainerInfo): boolean =>
  existsSync(join(container.checkpointDir, 'inventory.img'));

function finished(container: ContainerInfo): GoldenResult | undefined {
  const record = hasCheckpoint(container) ? readRecord(container) : undefined;
  if (!record) return undefined;
  const { name, checkpointDir } = container;
  return { name, created: false, imagesDir: imagesPlace(checkpointDir), record, checkpoint: undefined };
}

/** The running container to continue with: a new one, or the one that an earlier call left. */
async function startedContainer(
  options: GoldenCreateOptions,
  found: ContainerInfo | undefined,
): Promise<void> {
  if (found?.isRunning === true) return;
  if (found) {
    throw new GoldenError(
      'ERR_GOLDEN_STATE',
      `${found.name} exists, is not running and has no golden checkpoint`,
      {
        hint: `criu-cuda golden create --force removes it`,
      },
    );
  }
  options.onProgress?.('starting the container');
  await createContainer(options);
}

async function warmUp(server: Server, options: GoldenCreateOptions): Promise<ServerAnswer[]> {
  const { warmup = 3, onProgress: onStep, signal } = options;
  const answers: ServerAnswer[] = [];
  for (let i = 0; i < warmup; i += 1) {
    onStep?.(`request ${i + 1} of ${warmup}`);
    answers.push(await server.ask(signal));
  }
  return answers;
}

/**
 * Creates a golden checkpoint. A second call does nothing. After a failure the container keeps running, and the next
 * call continues with it.
 */
export function createGolden(options: GoldenCreateOptions): Promise<GoldenResult> {
  const next = 'criu-cuda golden create continues with it';
  return sayingWhatRuns(options.name, next, () => createNamed(options));
}

async function createNamed(options: GoldenCreateOptions): Promise<GoldenResult> {
  const { name, server: serverOptions, force = false, warmup = 3, store, exportTo, criu, signal } = options;
  checkCount('warmup', warmup, 1); // a restore is compared with the last answer
  const server = new Server(serverOptions);
  if (force) await removeContainer(name);
  const found = await findContainer(name);
  const done = found && finished(found);
  if (done) return done;

  const start = performance.now();
  await startedContainer(options, found);
  options.onProgress?.('waiting until it is healthy');
  await server.untilHealthy(containerHost(name), signal);
  const healthyMs = performance.now() - start;
  const answers = await warmUp(server, options);
  const shared = { name, criu, signal, onProgress: options.onTransfer };
  const record: GoldenRecord = { schemaVersion: 1, server: serverOptions, healthyMs, warmup: answers };
  if (exportTo !== undefined) {
    options.onProgress?.('writing a checkpoint to a tar file');
    await checkpointContainer({ ...shared, exportTo, leaveRunning: true });
    await appendRecord(exportTo, recordText(record), signal);
  }
  options.onProgress?.('checkpointing');
  const checkpoint = await checkpointContainer({ ...shared, store });
  const container = await requireContainer(name);
  writeFileSync(recordPath(container), recordText(record));
  return { name, created: true, imagesDir: imagesPlace(container.checkpointDir), record, checkpoint };
}

/** Which golden checkpoint is restored. */
export interface GoldenRestoreOptions extends Omit<ImportOptions, 'name' | 'libdir'> {
  /** Name of the container; for an imported one, its new name. */
  name: string;
  /** Tar file of a golden checkpoint, written by `exportTo`: makes a container that is golden here. */
  importFrom?: string | undefined;
  /** The criu program. @default the one that `criu-cuda setup` finds */
  criu?: string | undefined;
  /** Variant of the plugin. @default the one it was checkpointed with */
  variant?: string | undefined;
  /** Whether the answer must be the recorded one, as with greedy decoding on the same GPU. @default true */
  compare?: boolean | undefined;
  /** Called about three times per second with the bytes that are read. */
  onTransfer?: OnTransfer | undefined;
  /** Stops the restore. */
  signal?: AbortSignal | undefined;
}

/** A golden checkpoint that was restored. */
export interface GoldenRestoreResult {
  /** Name of the container. */
  name: string;
  /** The restore of the container. */
  restore: ContainerRestoreResult;
  /** From the start of the restore to a healthy server. Milliseconds. */
  healthyMs: number;
  /** From the start of the restore to the first token. Milliseconds. */
  firstTokenMs: number;
  /** What the server answered. */
  answer: ServerAnswer;
}

/** @throws {@link GoldenError} ERR_GOLDEN when the server's answer differs from the recorded one */
export function compareAnswers(name: string, before: ServerAnswer | undefined, after: ServerAnswer): void {
  if (before?.text === after.text) return;
  throw new GoldenError(
    'ERR_GOLDEN',
    `${name} answers "${after.text.slice(0, 80)}", and answered "${(before?.text ?? '').slice(0, 80)}" before its checkpoint`,
    { hint: 'the server is running; if its answers differ from request to request, use --no-compare' },
  );
}

function requiredRecord(container: ContainerInfo): GoldenRecord {
  const record = readRecord(container);
  if (record) return record;
  throw new GoldenError('ERR_GOLDEN_STATE', `${container.name} has no golden checkpoint`, {
    hint: 'criu-cuda golden create',
  });
}

async function importedRecord(file: string, signal: AbortSignal | undefined): Promise<GoldenRecord> {
  if (!existsSync(file)) throw new UsageError(`${file} does not exist`);
  const text = await readArchivedRecord(file, signal);
  if (text !== undefined) return parseRecord(text, `${recordName} in ${file}`, 'NAME');
  throw new GoldenError('ERR_GOLDEN_STATE', `${file} has no golden checkpoint`, {
    hint: 'only golden create --export writes one; other tar files: criu-cuda container restore --import',
  });
}

/** Restores a golden checkpoint, which is kept, and sends the server the recorded request again. */
export async function restoreGolden(options: GoldenRestoreOptions): Promise<GoldenRestoreResult> {
  const { compare = true, importFrom, onTransfer, ...container } = options;
  const { name, signal } = container;
  const record =
    importFrom === undefined
      ? requiredRecord(await requireContainer(name))
      : await importedRecord(importFrom, signal);
  const server = new Server(record.server);
  const start = performance.now();
  const restore = await restoreContainer({ ...container, importFrom, keep: true, onProgress: onTransfer });
  if (importFrom !== undefined) writeFileSync(recordPath(await requireContainer(name)), recordText(record));
  const end = `criu-cuda container remove ${name} ends it`;
  const { healthyMs, answer } = await sayingWhatRuns(name, end, async () => {
    await server.untilHealthy(containerHost(name), signal);
    return { healthyMs: performance.now() - start, answer: await server.ask(signal) };
  });
  if (compare) compareAnswers(name, record.warmup.at(-1), answer);
  return { name, restore, healthyMs, firstTokenMs: healthyMs + answer.firstTokenMs, answer };
}
