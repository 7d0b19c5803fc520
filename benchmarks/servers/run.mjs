// SPDX-License-Identifier: MIT
// Starts real servers, dumps each while it serves, restores it several times, and compares every answer.
//
//   node benchmarks/servers/run.mjs --models DIR --store DIR --output FILE [--rows NAME,…] [--restores 3] [--prefetched 0]
//     [--upstream DIR] [--limit SECONDS] [--port 8123] [--criu-cuda PROGRAM] [--trace] [--keep-logs DIR]
//
// Every command is typed: its time goes from before the program is started. "First answer" is one token, where the server makes
// tokens. Rows are run in the order of --rows; each is one more element of FILE, written after every step, so that a run that is
// killed loses only the step in progress. A row that takes longer than --limit is ended, and the next one begins.
// --prefetched: so many restores more with the pool daemon, after `pool prefetch`. --upstream: a directory with CRIU's own
// cuda_plugin.so and NVIDIA's cuda-checkpoint; the server that was restored last is dumped and restored with them.
// A row that needs two GPUs is only run when it is named. See README.md for what a machine needs.
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { rows } from './rows.mjs';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: '/opt/models' },
    store: { type: 'string' },
    output: { type: 'string' },
    rows: { type: 'string' },
    restores: { type: 'string', default: '3' },
    port: { type: 'string', default: '8123' },
    'criu-cuda': { type: 'string', default: 'criu-cuda' },
    prefetched: { type: 'string', default: '0' },
    upstream: { type: 'string' },
    limit: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'keep-logs': { type: 'string' },
  },
});
const { store, output } = options;
if (store === undefined || output === undefined) {
  console.error('--store DIR and --output FILE are required');
  process.exit(2);
}
const port = Number(options.port);
const logs = options['keep-logs'] ?? join(tmpdir(), `criu-cuda-servers-${port}`);
mkdirSync(logs, { recursive: true });

/** How long a server may take to start, and a restored one to answer. */
const START_MS = 400_000;
const ANSWER_MS = 60_000;

/** Ends what the row in progress does when its time is over. */
let limit = new AbortController().signal;

function fill(word) {
  return word
    .replace('PORT', port)
    .replace('MODELS', options.models)
    .replace('HERE', import.meta.dirname);
}

/** Runs a criu-cuda command and returns its output; its errors go through. */
function type(args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(options['criu-cuda'], args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: limit,
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (err += data));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out.trim());
      else reject(new Error(`criu-cuda ${args.join(' ')}: exit ${code}\n${out}${err}`));
    });
  });
}

function send({ method, path, body }) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const where = { host: '127.0.0.1', port, method, path, headers, agent: false, signal: limit };
    const sent = request(where, (answer) => {
      let text = '';
      answer.on('data', (data) => (text += data));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 200)}`));
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Sends a request until there is an answer: nobody listens before, or a listener does not accept yet. */
async function untilAnswered(message, limitMs, isAlive = () => true) {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      return await send(message);
    } catch (error) {
      if (limit.aborted || performance.now() > end || !isAlive()) throw error;
      await sleep(2);
    }
  }
}

const ask = (row, body) => send({ method: 'POST', path: row.path, body });

async function answersOf(row) {
  const answers = [];
  for (const body of row.bodies) answers.push(row.textOf(JSON.parse(await ask(row, body))));
  return answers;
}

const isRunning = (pid) => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Also until its parent has collected it: a restore needs its pid. */
async function untilGone(pid) {
  while (existsSync(`/proc/${pid}`)) await sleep(5);
}

const parentOf = (pid) => {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
  } catch {
    return 0;
  }
};

/** The pid and those of its descendants. */
function treeOf(root) {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
  const children = (pid) => pids.filter((one) => parentOf(one) === pid);
  const found = [root];
  for (const pid of found) found.push(...children(pid));
  return found;
}

/** Ends a server at once: no command of ours has to do with how a benchmark ends. */
async function end(root) {
  const pids = treeOf(root);
  for (const pid of pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
  for (const pid of pids) await untilGone(pid);
}

/** What became of a request that was sent before the dump: 'completed', or how it failed. Wrong text is an error. */
async function outcome(row, pending, expected) {
  try {
    const text = row.textOf(JSON.parse(await pending));
    if (text !== expected) throw new RangeError('the request in flight was answered wrongly');
    return 'completed';
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return error.code ?? error.message;
  }
}

async function startServer(row) {
  const begin = performance.now();
  const log = join(logs, `${row.name}.log`);
  rmSync(log, { force: true });
  const words = ['run', '--detach', '--log', log, '--', ...row.command.map(fill)];
  const pid = Number((await type(words, row.env)).split('\n').at(-1));
  try {
    await untilAnswered({ method: 'GET', path: row.health }, START_MS, () => isRunning(pid));
    await ask(row, row.first);
    return { pid, coldStartMs: performance.now() - begin };
  } catch (error) {
    if (isRunning(pid)) await end(pid); // the next row needs its port
    throw new Error(`${row.name} did not start: ${error.message}\n${readFileSync(log, 'utf8').slice(-3000)}`);
  }
}

function keepLog(images, file, name) {
  if (existsSync(join(images, file))) copyFileSync(join(images, file), join(logs, `${name}.${file}`));
}

/** Restores, and compares the answers. `name` is for the logs. @returns the figures, and the pid of the server, which runs */
async function restoreOnce(row, images, expected, name, { flags = [], env = {} } = {}) {
  const trace = options.trace ? ['--trace', join(logs, `${name}.trace.json`)] : [];
  const begin = performance.now();
  const typed = type(['restore', '--detach', '--json', ...trace, ...flags, images], env).then((text) => ({
    typedMs: performance.now() - begin,
    restored: JSON.parse(text),
  }));
  const first = (async () => {
    for (const message of row.after) await untilAnswered(message, ANSWER_MS);
    const awakeMs = performance.now() - begin;
    const message = { method: 'POST', path: row.path, body: row.first };
    const text = row.textOf(JSON.parse(await untilAnswered(message, ANSWER_MS)));
    return { text, awakeMs, firstAnswerMs: performance.now() - begin };
  })();
  first.catch(() => undefined); // if the restore fails, its error is thrown instead
  const { typedMs, restored } = await typed.finally(() => keepLog(images, 'restore.log', name));
  const { text, awakeMs, firstAnswerMs } = await first;
  const secondBegin = performance.now();
  const answers = await answersOf(row);
  const answersMs = performance.now() - secondBegin;
  const isRight = expected[0].startsWith(text) && answers.every((answer, i) => answer === expected[i]);
  if (!isRight) throw new Error(`${row.name}: wrong answers: ${JSON.stringify({ expected, text, answers })}`);
  const awake = row.after.length > 0 ? { awakeMs } : {};
  return {
    pid: restored.pid,
    figures: { typedMs, firstAnswerMs, ...awake, answersMs, phases: restored.phases },
  };
}

/** Typed, and after `pool prefetch`, one after the other; the last server runs on. @returns its pid */
async function restoreAll(row, images, expected, result) {
  const typed = Number(options.restores);
  const all = typed + Number(options.prefetched);
  let pid;
  result.restores = [];
  for (let round = 0; round < all; round++) {
    const isPrefetched = round >= typed;
    if (pid !== undefined) await end(pid);
    if (round === typed) await type(['pool', 'start']);
    if (isPrefetched) await type(['pool', 'prefetch', images]);
    const restored = await restoreOnce(row, images, expected, `${row.name}-${round}`);
    ({ pid } = restored);
    (isPrefetched ? (result.prefetched ??= []) : result.restores).push(restored.figures);
    save();
  }
  return pid;
}

/** Dumps the server with CRIU's own plugin, and restores it. @returns its pid */
async function compareWithUpstream(row, pid, expected, result) {
  const dir = options.upstream;
  const images = join(store, `${row.name}-upstream`);
  const how = { flags: ['--libdir', dir], env: { PATH: `${dir}:${process.env.PATH}` } };
  rmSync(images, { recursive: true, force: true });
  try {
    const begin = performance.now();
    await type(['checkpoint', ...how.flags, String(pid), images], how.env);
    result.upstream = { dumpMs: performance.now() - begin };
    save();
    await untilGone(pid);
    const restored = await restoreOnce(row, images, expected, `${row.name}-upstream`, how);
    Object.assign(result.upstream, restored.figures);
    return restored.pid;
  } catch (error) {
    result.upstream = { ...result.upstream, error: error.message };
    return pid;
  } finally {
    keepLog(images, 'dump.log', `${row.name}-upstream`);
    rmSync(images, { recursive: true, force: true });
  }
}

async function measure(row, result) {
  const images = join(store, row.name);
  rmSync(images, { recursive: true, force: true });
  const server = await startServer(row);
  let { pid } = server;
  try {
    pid = await dumpAndRestore(row, images, server, result);
    rmSync(images, { recursive: true, force: true });
    if (options.upstream !== undefined) pid = await compareWithUpstream(row, pid, result.expected, result);
  } finally {
    limit = new AbortController().signal; // the time of the row is over, or does not matter any more
    for (const one of new Set([pid, server.pid])) if (isRunning(one)) await end(one);
    if (Number(options.prefetched) > 0) await type(['pool', 'stop']).catch(() => undefined);
    rmSync(images, { recursive: true, force: true });
  }
}

async function dumpAndRestore(row, images, { pid, coldStartMs }, result) {
  const expected = await answersOf(row);
  const begin = performance.now();
  if ((await answersOf(row)).some((answer, i) => answer !== expected[i]))
    throw new Error(`${row.name}: the same question gets different answers before any dump`);
  Object.assign(result, { coldStartMs, answersMs: performance.now() - begin, expected });
  save();
  const whole = row.inFlight && row.textOf(JSON.parse(await ask(row, row.inFlight)));
  const pending = row.inFlight && outcome(row, ask(row, row.inFlight), whole);
  for (const message of row.before) await send(message);
  const trace = options.trace ? ['--trace', join(logs, `${row.name}-dump.trace.json`)] : [];
  const dumpBegin = performance.now();
  const dumped = JSON.parse(await type(['checkpoint', '--json', ...trace, String(pid), images]));
  Object.assign(result, { dumpMs: performance.now() - dumpBegin, dumped });
  save();
  keepLog(images, 'dump.log', row.name);
  await untilGone(pid);
  const restored = await restoreAll(row, images, expected, result);
  if (pending) result.inFlight = await pending;
  return restored;
}

const wanted = options.rows?.split(',') ?? rows.filter(({ gpus = 1 }) => gpus === 1).map(({ name }) => name);
const unknown = wanted.filter((name) => !rows.some((row) => row.name === name));
if (unknown.length > 0) {
  console.error(`there is no row ${unknown.join(', ')}; rows: ${rows.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const results = existsSync(output) ? JSON.parse(readFileSync(output, 'utf8')) : [];

/** Also the row in progress. */
function save() {
  writeFileSync(`${output}.new`, `${JSON.stringify(results, null, 2)}\n`);
  renameSync(`${output}.new`, output);
}

const rounded = (restores = []) => restores.map(({ firstAnswerMs }) => Math.round(firstAnswerMs)).join(' ');

for (const name of wanted) {
  const row = rows.find((one) => one.name === name);
  const result = { row: row.name, about: row.about };
  results.push(result);
  if (options.limit !== undefined) limit = AbortSignal.timeout(Number(options.limit) * 1000);
  try {
    await measure(row, result);
  } catch (error) {
    process.exitCode = 1;
    const late = error.name === 'AbortError' || error.name === 'TimeoutError';
    result.error = late ? `ended after the ${options.limit} s of --limit` : error.message;
    console.log(`${row.name}: ${result.error}`);
  }
  const { coldStartMs, dumpMs, restores, prefetched, upstream } = result;
  const others = upstream ? ` upstream ${JSON.stringify(upstream)}` : '';
  console.log(
    `${row.name}: cold ${Math.round(coldStartMs)} dump ${Math.round(dumpMs)} first answer ${rounded(restores)}, prefetched ${rounded(prefetched)} ms${others}`,
  );
  save();
}
