// SPDX-License-Identifier: MIT
import { mkdtempSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandError, InterruptedError } from '../../lib/errors.ts';
import { exec, execResult, type ExecOptions, type ExecResult } from '../../lib/exec.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-exec-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const isAlive = (pid: number): boolean => {
  try {
    // a zombie has also been killed; its parent has not collected it yet
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

describe('execResult', () => {
  it('returns a failing exit code with both outputs', async () => {
    const result = await execResult('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    expect(result).toMatchObject({ stdout: 'out', stderr: 'err', exitCode: 3 });
  });

  it('reports lines as they arrive', async () => {
    const lines: string[] = [];
    await execResult('sh', ['-c', 'echo a; echo b'], { onLine: (line) => lines.push(line) });
    expect(lines).toEqual(['a', 'b']);
  });

  it('does not wait for processes that a child leaves behind with its output', async () => {
    const start = performance.now();
    const ended = await execResult('sh', ['-c', 'sleep 60 & echo $! $$; exit 3']);
    expect(ended.exitCode).toBe(3);
    const [sleeper, shell] = ended.stdout.split(' ').map(Number);
    const killed = execResult('sh', ['-c', 'sleep 60 & echo $! > pid; kill -9 $$'], { cwd: dir });
    await expect(killed).rejects.toThrow('sh was killed by SIGKILL');
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(isAlive(Number(shell))).toBe(false);
    for (const pid of [Number(sleeper), Number(readFileSync(join(dir, 'pid'), 'utf8'))]) process.kill(pid);
  });

  it('says which program could not be run', async () => {
    const failure = execResult(join(dir, 'missing'), []);
    await expect(failure).rejects.toThrow(CommandError);
    await expect(failure).rejects.toThrow(/cannot run .*missing: .*ENOENT/);
  });

  it('fails alike when the arguments are too long', async () => {
    const failure = execResult('true', ['x'.repeat(1_000_000)]);
    await expect(failure).rejects.toMatchObject({ code: 'ERR_COMMAND_RUN' });
    await expect(failure).rejects.toThrow(/cannot run true: .*E2BIG/);
  });

  it('gives input, and accepts a program that does not read it', async () => {
    expect((await execResult('cat', [], { input: 'text\r\n' })).stdout).toBe('text');
    expect((await execResult('true', [], { input: 'x'.repeat(10_000_000) })).exitCode).toBe(0);
  });

  it('reports a last line without an end, and characters that arrive in parts', async () => {
    const lines: string[] = [];
    const script = String.raw`printf 'a\303'; sleep 0.2; printf '\244\r\nb'`;
    const { stdout } = await execResult('sh', ['-c', script], { onLine: (line) => lines.push(line) });
    expect(lines).toEqual(['a\u00e4', 'b']);
    expect(stdout).toBe('a\u00e4\r\nb');
  });

  it('kills a program that writes without end', async () => {
    await expect(execResult('cat', ['/dev/zero'])).rejects.toThrow('cat was killed: it wrote more than');
  });

  it('kills grandchildren at the timeout', async () => {
    const pidFile = join(dir, 'pid');
    const failure = execResult('sh', ['-c', `sleep 60 & echo $! > ${pidFile}; wait`], { timeoutMs: 2000 });
    await expect(failure).rejects.toMatchObject({ code: 'ERR_COMMAND_RUN', facts: { timedOut: true } });
    const pid = Number(readFileSync(pidFile, 'utf8'));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('ends with the reason of the abort', async () => {
    const stop = new AbortController();
    const marker = join(dir, 'started');
    const running = execResult('sh', ['-c', `echo started; sleep 60; touch ${marker}`], {
      signal: stop.signal,
      onLine: () => {
        stop.abort(new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT'));
      },
    });
    await expect(running).rejects.toThrow('interrupted by SIGINT');
    expect(existsSync(marker)).toBe(false);
  });

  it('asks the child alone to end where its own children must not get the signal', async () => {
    const controller = new AbortController();
    const inner = 'trap "echo asked" TERM; echo ready; sleep 1';
    const command = `(${inner}) & trap "wait; exit 0" TERM; wait`;
    const run = execResult('sh', ['-c', command], {
      signal: controller.signal,
      asksGroup: false,
      keepSuccess: true,
      onLine: (line) => {
        if (line === 'ready')
          controller.abort(new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT'));
      },
    });
    expect((await run).stdout).toBe('ready');
  });

  it.each([
    ['fails', 3],
    ['succeeds', 0],
  ])('lets a child end by itself that was given the time, and %s', async (_, exitCode) => {
    const words = `echo started; until [ -e given ]; do sleep 0.01; done; echo whole; exit ${exitCode}`;
    const late = (options: ExecOptions): Promise<ExecResult> => {
      rmSync(join(dir, 'given'), { force: true });
      return execResult('sh', ['-c', words], {
        cwd: dir,
        keepSuccess: true,
        gracePeriod: () => {
          writeFileSync(join(dir, 'given'), '');
          return 60_000;
        },
        ...options,
      });
    };
    const stop = new AbortController();
    const onLine = (): void => {
      stop.abort(new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT'));
    };
    const [timedOut, aborted] = [() => late({ timeoutMs: 1 }), () => late({ signal: stop.signal, onLine })];
    if (exitCode === 0) {
      await expect(timedOut()).resolves.toMatchObject({ exitCode, stdout: 'started\nwhole' });
      await expect(aborted()).resolves.toMatchObject({ exitCode, stdout: 'started\nwhole' });
    } else {
      await expect(timedOut()).rejects.toMatchObject({ facts: { exitCode, timedOut: true } });
      await expect(aborted()).rejects.toThrow('interrupted by SIGINT');
    }
  });

  it('keeps the success of a program that finished although it was told to end', async () => {
    const stop = new AbortController();
    const running = execResult(
      'sh',
      ['-c', "trap 'exit 0' TERM; echo started; while :; do sleep 0.05; done"],
      {
        signal: stop.signal,
        keepSuccess: true,
        onLine: () => {
          stop.abort(new InterruptedError('ERR_INTERRUPTED', 'interrupted by SIGINT'));
        },
      },
    );
    await expect(running).resolves.toMatchObject({ exitCode: 0, stdout: 'started' });
  });

  it('removes a variable that is undefined', async () => {
    const result = await execResult('sh', ['-c', 'echo ${HOME:-none}'], { env: { HOME: undefined } });
    expect(result.stdout).toBe('none');
  });
});

describe('exec', () => {
  it('throws with the last lines of the output', async () => {
    const failure = exec('sh', ['-c', 'echo first; echo broken >&2; exit 2']);
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_COMMAND_FAILED',
      facts: { exitCode: 2, tail: 'broken' },
    });
  });
});
