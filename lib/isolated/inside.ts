// SPDX-License-Identifier: MIT
/**
 * The side inside the namespaces: does what the other side asks for, and ends. A restored tree is left to the first process
 * of the namespaces.
 * @module
 */
import { Socket } from 'node:net';
import { checkpoint, type CheckpointOptions } from '../checkpoint/index.ts';
import type { OnTransfer } from '../process/index.ts';
import { InterruptedError } from '../errors.ts';
import { restore, type RestoreOptions } from '../restore/index.ts';
import { sendError } from './errors.ts';
import { readLines, TALK, type InsideAbort, type InsideAnswer, type InsideRequest } from './request.ts';

async function perform(
  { operation, options, wantsProgress }: InsideRequest,
  signal: AbortSignal,
  report: OnTransfer,
): Promise<unknown> {
  const all = { ...options, signal, ...(wantsProgress ? { onProgress: report } : {}) };
  if (operation === 'checkpoint') return checkpoint(all as unknown as CheckpointOptions);
  return (await restore(all as unknown as RestoreOptions)).result;
}

/** Answers one request on descriptor 3. */
export async function runInside(): Promise<void> {
  const socket = new Socket({ fd: TALK, readable: true, writable: true });
  const say = (answer: InsideAnswer): void => void socket.write(`${JSON.stringify(answer)}\n`);
  const stop = new AbortController();
  const abort = (reason: string): void => {
    stop.abort(new InterruptedError('ERR_INTERRUPTED', reason));
  };
  const request = await new Promise<InsideRequest>((resolve) => {
    readLines(socket, (line) => {
      const said = JSON.parse(line) as InsideRequest | InsideAbort;
      if ('abort' in said) abort(said.abort);
      else resolve(said);
    });
    socket
      .on('error', () => undefined)
      .once('close', () => {
        abort('the program that asked for it has ended');
      });
  });
  const answer: InsideAnswer = await perform(request, stop.signal, (progress) => {
    say({ progress });
  }).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: sendError(error) }),
  );
  await new Promise<void>((resolve) => {
    if (socket.destroyed) resolve();
    else socket.end(`${JSON.stringify(answer)}\n`, resolve);
  });
  process.exit(0); // what else is open belongs to the tree
}
