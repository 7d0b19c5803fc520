// SPDX-License-Identifier: MIT
/** `criu-cuda run`: what a program that it started is like, and what its caller sees. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot, softcudaLibrary } from '../../../lib/paths.ts';
import { killTree, readChildren, readStat, waitForExit } from '../../../lib/process/index.ts';
import { waitUntil } from '../../helpers/wait.ts';

let dir: string;
/** Killed when the test ends. */
let started: number[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-run-'));
  started = [];
});
afterEach(async () => {
  for (const pid of started) await killTree(pid);
  rmSync(dir, { recursive: true });
});

const cliWords = [process.execPath, join(projectRoot, 'dist', 'cli.js'), 'run'];
const plain = ['--no-intercept', '--no-softcuda'];

/** Runs the command to its end, in a session of ours. */
function run(words: readonly string[], env: Record<string, string> = {}): Promise<ExecResult> {
  const [node = '', ...rest] = [...cliWords, ...plain, ...words];
  return execResult(node, rest, { env });
}

interface Running {
  child: ChildProcess;
  pid: number;
  /** The next line of the program's output. */
  line: () => Promise<string>;
  ended: Promise<unknown[]>;
}

/** Starts it and leaves it running. @param detached as the leader of a session without a terminal */
function start(words: readonly string[], detached: boolean): Running {
  const [node = '', ...rest] = [...cliWords, ...plain, '--quiet', ...words];
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit'];
  const child = spawn(node, rest, { detached, stdio });
  const pid = child.pid ?? 0;
  started.push(pid);
  if (!child.stdout) throw new Error('there is no pipe');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    pid,
    line: async () => String((await lines.next()).value),
    ended: once(child, 'exit'),
  };
}

const program = (pid: number): string => basename(readlinkSync(`/proc/${pid}/exe`));
const field = (pid: number, name: string): string =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

/** Says its pid, and waits for signals: SIGUSR1 is answered, SIGTERM ends it with 3, SIGINT with 5. */
const waiting = [
  'python3',
  '-c',
  `
import os, signal, sys
codes = {signal.SIGUSR1: None, signal.SIGTERM: 3, signal.SIGINT: 5}
signal.pthread_sigmask(signal.SIG_BLOCK, codes)
print("program", os.getpid(), flush=True)
while (code := codes[signal.sigwait(codes)]) is None:
    print("usr1", flush=True)
sys.exit(code)`,
];

/** What a program gets from the process that started it. */
const probe = `
import fcntl, json, os, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "signals": {name: status[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt")},
    "limits": open("/proc/self/limits").read(),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "flags": [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (0, 1, 2)],
    "umask": os.umask(0),
    "leads": os.getsid(0) == os.getpid(),
    "terminal": open("/proc/self/stat").read().rsplit(") ", 1)[1].split()[4],
}))`;

describe('the program', () => {
  /** Started by a shell with limits of its own, through pipes. */
  async function probed(words: readonly string[]): Promise<{ descriptors: string[] }> {
    const script = 'ulimit -Sn 512; umask 027; "$@"; true';
    const shell = spawn('sh', ['-c', script, 'sh', ...words, 'python3', '-c', probe], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const [out, err] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
    expect(err).toBe('');
    return JSON.parse(out) as { descriptors: string[] };
  }

  it('has the signals, limits, flags and session that setsid gives it, and no descriptor of Node', async () => {
    const expected = await probed(['setsid', '-w']);
    // what our own caller has left open is inherited by setsid only; 3 is the directory being listed
    expected.descriptors = ['0', '1', '2', '3'];
    const given = [...cliWords, ...plain, '--quiet', '--'];
    expect(await probed(given)).toEqual(expected);
    // where Node cannot become the program
    expect(await probed(['env', 'CRIU_CUDA_NATIVE=none', ...given])).toEqual(expected);
  });

  it('is run itself where that leads a session without a terminal', async () => {
    const running = start(['--', ...waiting], true);
    expect(await running.line()).toBe(`program ${running.pid}`);
    expect(readStat(running.pid)).toMatchObject({ session: running.pid, ppid: process.pid, terminal: 0 });
    process.kill(running.pid, 'SIGTERM');
    expect(await running.ended).toEqual([3, null]);
  });

  it('is otherwise a child of a small process that passes signals and the exit code on', async () => {
    const running = start(['--', ...waiting], false);
    const pid = Number((await running.line()).replace('program ', ''));
    expect(readChildren(running.pid)).toEqual([pid]);
    expect(program(running.pid)).toBe('criu-cuda-run');
    expect(Number.parseInt(field(running.pid, 'VmRSS'))).toBeLessThan(8192);
    expect(readStat(pid)).toMatchObject({ session: pid, processGroup: pid });
    process.kill(running.pid, 'SIGUSR1');
    expect(await running.line()).toBe('usr1');
    process.kill(running.pid, 'SIGTERM');
    expect(await running.ended).toEqual([3, null]);
  });

  it.each([
    ['true', 0],
    ['exit 42', 42],
    ['kill -KILL $$', 137],
  ])('gives a shell its exit code: %s', async (script, code) => {
    const words = [...cliWords, ...plain, '--', 'sh', '-c', script];
    expect((await execResult('sh', ['-c', '"$@"; exit $?', 'sh', ...words])).exitCode).toBe(code);
  });

  it('has the variables that were typed, as well as what it needs of ours', async () => {
    const typed = [
      '--env',
      'FIRST=a b=c',
      '--env',
      'EMPTY=',
      '--env',
      'GODEBUG=gctrace=1',
      '--env',
      'FIRST=2',
    ];
    const { stdout } = await run([...typed, '--', 'env'], { EMPTY: 'full', KEPT: 'yes' });
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining(['FIRST=2', 'EMPTY=', 'KEPT=yes', 'GODEBUG=gctrace=1,multipathtcp=0']),
    );
    const path = ['--env', 'LD_LIBRARY_PATH=/opt/mine', '--', 'printenv', 'LD_LIBRARY_PATH'];
    const library = softcudaLibrary();
    const softly = await execResult('env', [`CRIU_CUDA_DRIVER=${library}`, ...cliWords, ...path]);
    expect(softly.stdout.trim()).toBe(`${dirname(library)}:/opt/mine`);
    const wrong = await run(['--env', 'FIRST', '--', 'env']);
    expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('NAME=VALUE') as string });
  });

  it('is stopped and continued by the terminal, and gets its Ctrl-C', async () => {
    // no shell: a process that waits for its child of vfork is not stopped
    const words = [...cliWords, ...plain, '--', ...waiting];
    const { stdout } = await execResult('python3', [
      join(projectRoot, 'test', 'helpers', 'on_terminal.py'),
      ...words,
    ]);
    expect(JSON.parse(stdout)).toEqual({
      same: false,
      stopped: [true, 'stopped'],
      continued: 'running',
      exitCode: 5,
    });
  });
});

describe('its caller', () => {
  it('reads the pid on stderr, or nothing, or JSON', async () => {
    const print = ['--', 'sh', '-c', 'echo $$'];
    const told = await run(print);
    expect(told.stderr.trim()).toBe(`criu-cuda: the process to checkpoint is ${told.stdout.trim()} (sh)`);
    expect((await run(['--quiet', ...print])).stderr.trim()).toBe('');
    const json = await run(['--json', ...print]);
    const [document = '', pid = ''] = json.stdout.split(/(?<=^})\n/m);
    expect(JSON.parse(document)).toEqual({ pid: Number(pid) });
    expect(json.stderr.trim()).toBe('');
  });

  it('gets the pid of a program that stays, whose output goes to a file that may grow', async () => {
    const log = join(dir, 'out.log');
    const script = 'echo out; echo err >&2; sleep 60';
    for (const count of [1, 2]) {
      const { stdout } = await run(['--detach', '--log', log, '--', 'sh', '-c', script]);
      const pid = Number(stdout);
      started.push(pid);
      expect(readStat(pid)).toMatchObject({ session: pid });
      await waitUntil(() => readFileSync(log, 'utf8') === 'out\nerr\n'.repeat(count));
      expect(readlinkSync(`/proc/${pid}/fd/0`)).toBe('/dev/null');
      for (const fd of [1, 2]) {
        expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe(log);
        expect(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\s+0\d*2001$/m); // O_APPEND|O_WRONLY
      }
      process.kill(-pid, 'SIGKILL');
      await waitForExit(pid);
    }
  });

  it('learns why a log cannot be written', async () => {
    const { exitCode, stderr } = await run(['--log', join(dir, 'missing', 'out.log'), '--', 'true']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`cannot open ${join(dir, 'missing', 'out.log')}: No such file or directory`);
  });

  it('learns that set-user-id programs gain nothing, without CAP_SYS_ADMIN', async (context) => {
    if (process.geteuid?.() !== 0) context.skip('giving up a capability needs root');
    const drop = ['--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin', ...cliWords, ...plain];
    const status = ['--', 'grep', '-E', '^(NoNewPrivs|Seccomp):', '/proc/self/status'];
    const filtered = await execResult('setpriv', [...drop, ...status]);
    expect(filtered.stdout).toMatch(/^NoNewPrivs:\s+1\nSeccomp:\s+2$/);
    expect(filtered.stderr).toContain('set-user-id programs that grep starts gain no rights');
    const allowed = await execResult('setpriv', [...drop, '--allow-io-uring', ...status]);
    expect(allowed.stdout).toMatch(/^NoNewPrivs:\s+0$/m);
    expect(allowed.stderr).not.toContain('set-user-id');
    expect((await run(status)).stdout).toMatch(/^NoNewPrivs:\s+0$/m);
  });
});
