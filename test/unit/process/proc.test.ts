// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../../lib/paths.ts';
import {
  checkNoThread,
  describeProcess,
  isEnding,
  isSameProcess,
  killTree,
  MOST_OF_WORDS,
  parseStat,
  readBeginning,
  readChildren,
  readStat,
  readThreadState,
} from '../../../lib/process/index.ts';
import { holdEnd, inNamespace } from '../../helpers/held-end.ts';
import { waitFor } from '../../helpers/wait.ts';

const endlessWords = join(projectRoot, 'test/helpers/endless_words.py');

describe('checkNoThread', () => {
  it('names the process of a thread, also of the kernel', () => {
    const { pid } = process;
    expect(() => {
      checkNoThread(pid);
    }).not.toThrow();
    const threads = readdirSync('/proc/self/task').map(Number);
    expect(threads.length).toBeGreaterThan(1);
    for (const thread of threads.filter((one) => one !== pid)) {
      expect(() => {
        checkNoThread(thread);
      }).toThrow(`${thread} is a thread of process ${pid}`);
    }
    const ofKernel = readStat(2)?.comm === 'kthreadd' ? [2] : []; // a PID namespace has none
    for (const thread of ofKernel) {
      expect(() => {
        checkNoThread(thread);
      }).toThrow('2 is a thread of the kernel');
    }
  });
});

describe('parseStat', () => {
  it('accepts spaces and parentheses in the name', () => {
    const line = '42 (a) (b c) S 7 40 39 34816 42 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1';
    expect(parseStat(line)).toEqual({
      pid: 42,
      comm: 'a) (b c',
      state: 'S',
      ppid: 7,
      processGroup: 40,
      session: 39,
      terminal: 34816,
      startTime: 9876,
    });
  });

  it('refuses anything else', () => {
    expect(() => parseStat('nonsense')).toThrow('not a line of /proc/PID/stat');
  });
});

describe('readers of a live process', () => {
  it('read this process and its child', async () => {
    const child = spawn('sleep', ['60'], { detached: true });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const stat = readStat(pid);
    expect(stat).toMatchObject({ pid, ppid: process.pid, session: pid, processGroup: pid });
    expect(stat && isSameProcess(stat)).toBe(true);
    expect(stat && isSameProcess({ ...stat, startTime: stat.startTime + 1 })).toBe(false);
    expect(readChildren(process.pid)).toContain(pid);
    expect(readThreadState(pid, pid)).toMatch(/[RSD]/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readStat(pid)).toBeUndefined();
    expect(readChildren(pid)).toEqual([]);
    expect(await describeProcess(pid)).toBe('no process');
  });

  it('names a process by its command line', async () => {
    expect(await describeProcess(process.pid)).toContain('node');
  });

  it('describes a process on one line, whatever its words are', async () => {
    const child = spawn('sh', ['-c', 'sleep 60\n\t:\x1b[31m']);
    await once(child, 'spawn');
    await waitFor(async () => {
      expect(await describeProcess(child.pid ?? 0)).toBe('sh -c sleep 60 : [31m');
    });
    child.kill('SIGKILL');
  });

  it('shows the beginning of words that have no end', async () => {
    const child = spawn('python3', [endlessWords], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      const pid = child.pid ?? 0;
      expect(await describeProcess(pid)).toBe('word');
      expect(readBeginning(`/proc/${pid}/environ`, MOST_OF_WORDS)).toHaveLength(MOST_OF_WORDS);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describe('the end of a process', () => {
  it('begins before it is a zombie', async (context) => {
    if (process.geteuid?.() !== 0) context.skip('a PID namespace needs root');
    const [program, ...words] = inNamespace;
    const unshare = spawn(program, [...words, 'sleep', '60'], { detached: true }).pid ?? 0;
    await waitFor(() => {
      expect(readChildren(unshare)).toHaveLength(1);
    });
    const held = await holdEnd(unshare);
    expect(isEnding(held.pid)).toBe(false);
    await held.kill();
    expect(readStat(held.pid)?.state).not.toBe('Z');
    expect(isEnding(held.pid)).toBe(true);
    await held.release();
    await killTree(unshare);
    expect(isEnding(held.pid)).toBe(true);
  });

  it('is not that of its first thread', async () => {
    const script =
      'import ctypes, threading; threading.Thread(target=threading.Event().wait).start(); ctypes.CDLL(None).pthread_exit(None)';
    const child = spawn('python3', ['-c', script]);
    const pid = child.pid ?? 0;
    await waitFor(() => {
      expect(readStat(pid)?.state).toBe('Z');
    });
    expect(isEnding(pid)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isEnding(pid)).toBe(true);
  });
});
