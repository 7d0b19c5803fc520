// SPDX-License-Identifier: MIT
/**
 * Has the daemon load images while their stripes arrive in the directory.
 * @module
 */
import type { Socket } from 'node:net';
import { z } from 'zod';
import {
  connectTo,
  directoryWord,
  errorSchema,
  PoolError,
  poolRunDir,
  type PrefetchOptions,
} from './client.ts';

/** A load that waits for stripes. */
export interface Reception {
  /** Says that a stripe is in the directory: all of it, with its name. */
  arrived(name: string): void;
  /**
   * Says that all stripes have been named; the directory may have another name by now.
   * @returns the number of resident images, once they are
   * @throws {@link PoolError} the daemon has refused or ended
   */
  complete(): Promise<number>;
  /** Rejects when the daemon refuses or ends; never fulfilled. */
  readonly failed: Promise<never>;
  /** Ends the load, unless it is complete: the daemon frees its memory. */
  close(): void;
}

const answerSchema = z.union([
  errorSchema,
  z.object({ loading: z.int().nonnegative() }),
  z.object({ resident: z.int().nonnegative() }),
]);

type Answer = z.infer<typeof answerSchema>;

/** With this, the daemon of an earlier version answers a word that it does not know. */
const UNKNOWN = 'accepted: ';

function parse(line: string): Answer {
  try {
    return answerSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new PoolError('ERR_POOL', 'the pool daemon sent an answer that this program cannot parse', {
      cause,
    });
  }
}

/** The lines that the daemon sends until it or we hang up. */
async function* answers(socket: Socket): AsyncGenerator<Answer, undefined> {
  let text = '';
  try {
    for await (const part of socket.setEncoding('utf8')) {
      text += String(part);
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        yield parse(text.slice(0, end));
        text = text.slice(end + 1);
      }
    }
  } catch (error) {
    if (error instanceof PoolError) throw error; // any other: one of us has hung up
  }
}

async function nextAnswer(
  from: AsyncGenerator<Answer, undefined>,
): Promise<Exclude<Answer, { error: unknown }>> {
  const { value } = await from.next();
  if (!value) throw new PoolError('ERR_POOL', 'the pool daemon ended before the images were resident');
  if ('error' in value) throw new PoolError('ERR_POOL', value.error.message);
  return value;
}

/**
 * Begins to load the images of a directory that has their manifests, and those of their stripes that are complete.
 * @returns `undefined` if the daemon is of a version that cannot wait for stripes
 * @throws {@link PoolError} no daemon answers, no such image, a damaged one, or not enough room in the budget
 */
export async function receiveImages(
  dir: string,
  options: PrefetchOptions = {},
): Promise<Reception | undefined> {
  const socket = await connectTo(poolRunDir(options));
  const abort = (): void => void socket.destroy();
  options.signal?.addEventListener('abort', abort, { once: true });
  socket.once('close', () => options.signal?.removeEventListener('abort', abort));
  socket.on('error', () => undefined); // the answer is missing then
  const words = ['receive', directoryWord(dir), ...(options.golden === true ? ['golden'] : [])];
  socket.write(`${words.join(' ')}\n`);
  const lines = answers(socket);
  try {
    await nextAnswer(lines);
  } catch (error) {
    socket.destroy();
    if (error instanceof PoolError && error.message.startsWith(UNKNOWN)) return undefined;
    throw error;
  }
  const ended = nextAnswer(lines).then((answer) => ('resident' in answer ? answer.resident : 0));
  const failed = ended.then(() => new Promise<never>(() => undefined));
  failed.catch(() => undefined);
  return {
    failed,
    arrived: (name) => void socket.write(`${name}\n`),
    complete: async () => {
      socket.write('\n');
      try {
        return await ended;
      } finally {
        socket.destroy();
      }
    },
    close: () => void socket.destroy(),
  };
}
