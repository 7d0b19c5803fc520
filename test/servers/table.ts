// SPDX-License-Identifier: MIT
/** The real servers: how each is started and asked, and what it says about itself. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { projectRoot } from '../../lib/paths.ts';
import { readProcessTree } from '../../lib/process/index.ts';
import { waitFor } from '../helpers/wait.ts';
import { grpc, http, redis, type Connect } from './clients.ts';
import type { Life, LifeOptions, Place } from './life.ts';

/** What `scripts/servers.mjs` found. */
export type Program = string | { missing: string };
export type Packages = Record<'python' | 'node22' | 'goState' | 'redis' | 'nginx', Program>;

/** What a server says about itself: texts must be the same after a restore, and nothing may be false. */
export interface Check {
  count: number;
  [what: string]: number | string | boolean;
}

export interface RealServer extends Pick<LifeOptions, 'env' | 'output' | 'uid'> {
  connect: Connect;
  command: (packages: Packages) => { words: (place: Place) => string[] } | { missing: string };
  /** What clients ask all the time; it counts. */
  question: string;
  /** Counts a million; not every server can. */
  jump?: string;
  check: (life: Life) => Promise<Check>;
  /** What it prints meanwhile. */
  printed: string;
}

const programs = join(projectRoot, 'test', 'servers', 'programs');

const checkByHttp = async (life: Life): Promise<Check> => JSON.parse(await life.ask('/check')) as Check;

/** The questions that our own programs answer over HTTP. */
const ours = { connect: http, question: '/', jump: '/jump', check: checkByHttp, printed: 'checked' };

const withProgram =
  (name: keyof Packages, words: (place: Place) => string[]): RealServer['command'] =>
  (packages) => {
    const program = packages[name];
    return typeof program === 'string' ? { words: (place) => [program, ...words(place)] } : program;
  };

const uvicorn = withProgram('python', ({ port }) => [
  ...['-m', 'uvicorn', '--app-dir', programs, 'engine_app:app', '--loop', 'uvloop'],
  ...['--no-access-log', '--port', String(port)],
]);

const gunicorn = withProgram('python', ({ port }) => [
  ...['-m', 'gunicorn', '--config', 'python:gunicorn_app', '--preload', '--bind', `127.0.0.1:${port}`],
  ...[
    '--workers',
    '2',
    '--worker-class',
    'gthread',
    '--threads',
    '4',
    '--keep-alive',
    '60',
    'gunicorn_app:app',
  ],
]);

const directoryOf = ({ dir }: Place): Record<string, string> => ({ SERVER_DIR: dir });

async function checkGrpc(life: Life): Promise<Check> {
  return JSON.parse(await life.ask('/test/check')) as Check;
}

/** A key that expires, a list that another client waits for, a script, and a child that saves. */
async function checkRedis(life: Life): Promise<Check> {
  const [count, id, remaining] = [
    await life.ask('GET count'),
    await life.ask('INFO server'),
    await life.ask(
      "EVAL \"redis.call('SET', 'brief', 1, 'PX', 20, 'NX') return redis.call('PTTL', 'brief')\" 0",
    ),
  ];
  const popped = life.ask('BLPOP list 5');
  await life.ask('RPUSH list item');
  const popping = (await popped) === '2';
  await waitFor(async () => {
    expect(await life.ask('GET brief')).toBe('-1');
  });
  await life.ask('BGSAVE');
  await waitFor(async () => {
    expect(await life.ask('INFO persistence')).toContain('rdb_bgsave_in_progress:0');
  });
  return {
    count: Number(count),
    start: /run_id:(\w+)/.exec(id)?.[1] ?? false,
    timers: Number(remaining) > 0,
    popping,
  };
}

const workersOf = ({ pid }: Life): number[] =>
  readProcessTree(pid).flatMap((one) => (one.ppid === pid ? [one.pid] : []));

/** Counts that the workers share, one of them of allowed requests; and the first process gets signals and has new workers. */
async function checkNginx(life: Life): Promise<Check> {
  await life.ask('/limited');
  const isLimited = (await life.ask('/limited')) === 'refused';
  const old = workersOf(life);
  process.kill(life.pid, 'SIGHUP');
  await waitFor(() => {
    expect(workersOf(life)).toHaveLength(old.length);
    expect(workersOf(life).filter((pid) => old.includes(pid))).toEqual([]);
  });
  const [, requests] = /\d+ \d+ (\d+)/.exec(await life.ask('/status')) ?? [];
  return { count: Number(requests), limited: isLimited };
}

export const servers: Readonly<Record<string, RealServer>> = {
  'uvicorn with a spawned engine': {
    ...ours,
    command: uvicorn,
    env: (place) => ({ ENGINE: 'spawn', ...directoryOf(place) }),
    uid: 1000,
    output: 'file',
  },
  'uvicorn with a forked engine': {
    ...ours,
    command: uvicorn,
    env: (place) => ({ ENGINE: 'fork', ...directoryOf(place) }),
    output: 'pipe',
  },
  gunicorn: {
    ...ours,
    command: gunicorn,
    env: (place) => ({ PYTHONPATH: programs, ...directoryOf(place) }),
    output: 'file',
  },
  grpcio: {
    connect: grpc,
    question: '/test/count',
    jump: '/test/jump',
    check: checkGrpc,
    printed: 'checked',
    command: withProgram('python', ({ port }) => [join(programs, 'grpc_server.py'), String(port)]),
    env: directoryOf,
    uid: 1000,
    output: 'pipe',
  },
  'Node 22': {
    ...ours,
    command: withProgram('node22', ({ port }) => [join(programs, 'node_state.mjs'), String(port)]),
    output: 'file',
  },
  Go: {
    ...ours,
    command: withProgram('goState', ({ port }) => [String(port)]),
    env: directoryOf,
    uid: 1000,
    output: 'file',
  },
  redis: {
    connect: redis,
    question: 'INCR count',
    jump: 'INCRBY count 1000000',
    check: checkRedis,
    printed: 'Background saving started',
    command: withProgram('redis', ({ port, dir }) => ['--port', String(port), '--dir', dir]),
    uid: 1000,
    output: 'pipe',
  },
  nginx: {
    connect: http,
    question: '/',
    check: checkNginx,
    printed: 'GET /status',
    command: withProgram('nginx', ({ port, disk }) => {
      const [file, text] = [join(disk, 'nginx.conf'), readFileSync(join(programs, 'nginx.conf'), 'utf8')];
      writeFileSync(file, text.replaceAll('PORT', String(port)).replaceAll('DIR', disk));
      return ['-p', disk, '-c', file];
    }),
    output: 'pipe',
  },
};
