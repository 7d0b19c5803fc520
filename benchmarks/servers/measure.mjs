// SPDX-License-Identifier: MIT
// What is measured of one server. Each function adds to `result`, and calls `save` when something is known.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { send } from './http.mjs';

/** How long a request that was sent before the dump may take after the restore. */
const IN_FLIGHT_MS = 5_000;

function aborter() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/** What became of a request that was sent before the dump: 'completed', or how it failed. Wrong text is an error. */
async function outcome(pending, expected) {
  const text = await Promise.race([
    pending.catch((error) => ({ failed: error.code ?? error.message })),
    sleep(IN_FLIGHT_MS, { failed: 'no answer' }),
  ]);
  if (text.failed) return text.failed;
  if (text !== expected) throw new Error('the request in flight was answered wrongly');
  return 'completed';
}

/** Starts the server. */
export async function start({ server, result, save }) {
  result.coldStartMs = await server.start();
  save();
}

/** Asks everything twice, and dumps the server while it serves. */
export async function dump(one) {
  const { server, images, result, save } = one;
  const { row } = server;
  const { answers: expected } = await server.answers();
  const { answers, answersMs } = await server.answers();
  if (answers.some((answer, i) => answer !== expected[i]))
    throw new Error(`${row.name}: the same question gets different answers before any dump`);
  Object.assign(result, { answersMs, expected });
  save();
  if (row.inFlight) {
    const whole = await server.answerTo(row.inFlight);
    const { signal, abort } = aborter();
    const pending = server.answerTo(row.inFlight, signal);
    pending.catch(() => undefined); // looked at after the restores
    one.inFlightOutcome = () => outcome(pending, whole).finally(abort);
  }
  for (const message of row.before) await send(server.port, message, server.signal);
  rmSync(images, { recursive: true, force: true });
  Object.assign(result, await server.dump(images, row.name));
  save();
}

/** Restores the server `count` times from the same images; the last one runs on. */
async function restoreTyped({ server, images, result, save }, count) {
  result.restores = [];
  for (let round = 0; round < count; round++) {
    await server.end();
    result.restores.push(await server.restore(images, result.expected, `${server.row.name}-${round}`));
    save();
  }
}

/** Dumps and restores the running server `count` times more: a dump is measured as often as a restore. */
async function dumpAgain({ server, images, result, save }, count) {
  const again = `${images}-again`;
  result.laterDumps = [];
  for (let round = 0; round < count; round++) {
    const name = `${server.row.name}-again-${round}`;
    const { dumpMs } = await server.dump(again, name);
    const restored = await server.restore(again, result.expected, name);
    result.laterDumps.push({ dumpMs, ...restored });
    save();
    rmSync(again, { recursive: true, force: true });
  }
}

/** One more dump and restore, with timelines. Their times do not count. */
async function trace({ server, images, result }) {
  const traced = `${images}-traced`;
  const timeline = (what) => ['--trace', join(server.logs, `${server.row.name}-${what}.trace.json`)];
  await server.dump(traced, `${server.row.name}-traced`, { flags: timeline('dump') });
  await server.restore(traced, result.expected, `${server.row.name}-traced`, { flags: timeline('restore') });
  rmSync(traced, { recursive: true, force: true });
}

/** With the pool daemon, after `pool prefetch`; no server runs afterwards. */
async function restorePrefetched({ server, images, result, save }, count) {
  result.prefetched = [];
  await server.end();
  await server.type(['pool', 'start']);
  try {
    for (let round = 0; round < count; round++) {
      await server.type(['pool', 'prefetch', images]);
      const restored = await server.restore(
        images,
        result.expected,
        `${server.row.name}-prefetched-${round}`,
      );
      result.prefetched.push(restored);
      save();
      await server.end();
    }
  } finally {
    await server.end();
    await server.type(['pool', 'stop']);
  }
}

/** Restores the server, dumps it with CRIU's own plugin and NVIDIA's cuda-checkpoint in `dir`, and restores that. */
export async function compareWithUpstream({ server, images, result, save }, dir) {
  const how = { flags: ['--libdir', dir], env: { PATH: `${dir}:${process.env.PATH}` } };
  const name = `${server.row.name}-upstream`;
  await server.restore(images, result.expected, name);
  rmSync(images, { recursive: true, force: true }); // its images are twice as large
  const { dumpMs } = await server.dump(images, name, how);
  result.upstream = { dumpMs };
  save();
  Object.assign(result.upstream, await server.restore(images, result.expected, name, how));
  save();
}

/**
 * The restores of a dumped server. A part that fails is an error in the result; the others are still done.
 * @param {{ restores: number, again: number, prefetched: number, trace: boolean }} wanted
 */
export async function restoreAll(measured, wanted) {
  const { server, images, result } = measured;
  const part = async (work) => {
    try {
      await work();
    } catch (error) {
      (result.errors ??= []).push(error.message);
      if (server.signal.aborted) throw error;
      await server.end();
    }
  };
  const running = async () => {
    if (server.pid === undefined) await server.restore(images, result.expected, server.row.name);
  };
  await restoreTyped(measured, wanted.restores);
  if (measured.inFlightOutcome) result.inFlight = await measured.inFlightOutcome();
  if (wanted.again > 0) await part(() => dumpAgain(measured, wanted.again));
  if (wanted.trace) await part(() => running().then(() => trace(measured)));
  if (wanted.prefetched > 0) await part(() => restorePrefetched(measured, wanted.prefetched));
}
