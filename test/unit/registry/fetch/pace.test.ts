// SPDX-License-Identifier: MIT
// Registries that are slow: a byte now and then is given up like silence, and what is only slow is read to the end.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchBlob, partPath, type WantedBlob } from '../../../../lib/registry/fetch/blob.ts';
import { HttpSource, type HttpSourceSpec } from '../../../../lib/registry/fetch/http-source.ts';
import { whileItComes } from '../../../../lib/registry/fetch/pace.ts';
import { BlobServer, type Asked } from '../../../helpers/blob-server.ts';

const SIZE = 100_000;

let dir: string;
let server: BlobServer | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
});
afterEach(async () => {
  await server?.close();
  rmSync(dir, { recursive: true });
});

const serve = async (respond: (asked: Asked) => void): Promise<BlobServer> =>
  (server = await BlobServer.start(respond));

const hex = ({ digest }: WantedBlob): string => digest.slice(7);

async function pull(blob: WantedBlob, spec: HttpSourceSpec): Promise<void> {
  const source = new HttpSource(spec);
  try {
    const { signal } = new AbortController();
    await fetchBlob(blob, dir, [source], { onBytes: () => undefined, signal, pauseMs: 1 });
  } finally {
    source.close();
  }
}

/** Sends a byte every few milliseconds, and never all of it. */
function drip(answer: Writable, bytes: Buffer): void {
  let sent = 0;
  const next = (): void => {
    if (sent + 1 < bytes.length) answer.write(bytes.subarray(sent, (sent += 1)));
  };
  next();
  const timer = setInterval(next, 5);
  answer.once('close', () => {
    clearInterval(timer);
  });
}

const HEAD = Buffer.from(`HTTP/1.1 200 OK\r\nx-much: ${'x'.repeat(SIZE)}`);

type Respond = (answer: ServerResponse, bytes: Buffer) => void;
const head: Respond = (answer) => {
  drip(answer.socket ?? answer, HEAD);
};
const simple: Respond = (answer, bytes) => {
  answer.writeHead(200, { 'content-length': bytes.length });
  drip(answer, bytes);
};
const chunked: Respond = (answer, bytes) => {
  answer.writeHead(200);
  drip(answer, bytes);
};

it.each([
  ['its head', head, 0],
  ['a blob', simple, 1],
  ["a blob, for Node's own client", chunked, 1],
] as const)('a registry that sends a byte now and then of %s is given up', async (_, respond, least) => {
  const dripping = await serve(({ answer, bytes }) => {
    respond(answer, bytes);
  });
  const blob = dripping.add(SIZE);
  await expect(pull(blob, dripping.spec({ silenceMs: 500 }))).rejects.toMatchObject({ failure: 'passing' });
  // what has come stays for a later attempt
  const part = statSync(partPath(dir, hex(blob)), { throwIfNoEntry: false })?.size ?? 0;
  expect(part).toBeGreaterThanOrEqual(least);
});

it('a registry that is slow, and no slower than may be, is read to the end', async () => {
  const slow = await serve(({ answer, bytes }) => {
    answer.writeHead(200, { 'content-length': bytes.length });
    for (let at = 0; at < bytes.length; at += 10)
      setTimeout(() => void answer.write(bytes.subarray(at, at + 10)), at);
  });
  const blob = slow.add(100);
  await pull(blob, slow.spec({ silenceMs: 10_000, leastRate: 1 }));
  expect(readFileSync(join(dir, hex(blob))).equals(blob.bytes)).toBe(true);
});

/** Runs until it is stopped. */
const endless = (signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });

/** What is looked at in turn; the last of it forever. @returns how often */
async function stoppedAfter(looks: readonly number[], totalBytes: number): Promise<number> {
  let nr = 0;
  const transfer = () => ({ doneBytes: looks[Math.min(nr++, looks.length - 1)] ?? 0, totalBytes });
  await expect(whileItComes('cannot pull it', transfer, undefined, endless, 24)).rejects.toMatchObject({
    code: 'ERR_REGISTRY',
    message: expect.stringContaining('has sent 0 bytes') as string,
  });
  return nr - 1;
}

/** Looks in a period: twelve for each of five attempts. */
const LOOKS = 60;
const nothing = (looks = LOOKS): number[] => Array.from({ length: looks }, () => 0);

it('another program is stopped when it brings nothing, and not before', async () => {
  expect(await stoppedAfter([0], 2 ** 40)).toBe(LOOKS);
  expect(await stoppedAfter([0, 2 ** 20], 2 ** 40), 'something in the first period').toBe(2 * LOOKS);
  expect(await stoppedAfter([0], 0), 'what has nothing to bring, and waits').toBe(LOOKS);
});

it('a file that another program begins again takes nothing away from what has come', async () => {
  const again = [...nothing(20), 2 ** 20, ...nothing(LOOKS - 20), 2 ** 20, ...nothing(1)];
  expect(await stoppedAfter(again, 2 ** 40)).toBe(3 * LOOKS);
});

it('another program has all the time to write what has come, and none for a file that it begins again', async () => {
  const all = Array.from({ length: 3 * LOOKS }, () => 2 ** 20);
  expect(await stoppedAfter([0, ...all, 0], 2 ** 20)).toBe(5 * LOOKS);
});

it('the time in which this process is stopped does not count', async () => {
  const stopped = async (signal: AbortSignal): Promise<boolean> => {
    await pause(5); // its timer runs
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await pause(5); // and has fired
    return signal.aborted;
  };
  const transfer = () => ({ doneBytes: 0, totalBytes: 1 });
  expect(await whileItComes('cannot pull it', transfer, undefined, stopped, 24)).toBe(false);
});
