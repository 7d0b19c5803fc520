// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../../lib/errors.ts';
import {
  dataRanges,
  execv,
  getChildSubreaper,
  nativeBackend,
  onReadable,
  pidfdOpen,
  setChildSubreaper,
  SystemCallError,
  tryLock,
  waitpidNoHang,
} from '../../../lib/native/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { backendNames, type BackendName } from '../../../lib/native/types.ts';

const NO_SUCH_PID = 2 ** 22 + 1;

describe('nativeBackend', () => {
  it('takes the addon where there is one', () => {
    expect(nativeBackend(undefined, {}).name).toBe('addon');
    expect(nativeBackend(undefined, { CRIU_CUDA_NATIVE: '' }).name).toBe('addon');
  });

  it.each(backendNames)('takes %s when the caller or CRIU_CUDA_NATIVE says so', (name) => {
    const other = backendNames.find((one) => one !== name);
    expect(nativeBackend(name, { CRIU_CUDA_NATIVE: other }).name).toBe(name);
    expect(nativeBackend(undefined, { CRIU_CUDA_NATIVE: name }).name).toBe(name);
  });

  it('refuses a name it does not know, and says which it knows', () => {
    const refused = () => nativeBackend(undefined, { CRIU_CUDA_NATIVE: 'ffi' });
    expect(refused).toThrow(UsageError);
    expect(refused).toThrow('CRIU_CUDA_NATIVE is "ffi"; accepted: addon, koffi');
    expect(() => nativeBackend('ffi' as BackendName)).toThrow('backend is "ffi"');
  });
});

describe.each(backendNames)('system calls through the %s', (backend) => {
  const use = () => vi.stubEnv('CRIU_CUDA_NATIVE', backend);
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('make this process a subreaper, and no more', () => {
    use();
    const before = getChildSubreaper();
    setChildSubreaper(true);
    expect(getChildSubreaper()).toBe(true);
    setChildSubreaper(false);
    expect(getChildSubreaper()).toBe(false);
    setChildSubreaper(before);
  });

  it('open a process and call back when it has ended, once', async () => {
    use();
    const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    const fd = pidfdOpen(child.pid ?? 0);
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\s+02\d*$/m); // close-on-exec
    let calls = 0;
    const stopped = onReadable(fd, () => (calls += 100));
    stopped();
    stopped();
    const ended = new Promise<void>((resolve) => {
      onReadable(fd, () => {
        calls += 1;
        resolve();
      });
    });
    expect(calls).toBe(0);
    child.stdin.end();
    await Promise.all([ended, once(child, 'exit')]);
    expect(calls).toBe(1);
    closeSync(fd);
  });

  it('make this process another program, with its pid, its variables and its streams', async () => {
    // what it prints before is there, and descriptors of Node are not
    const script = `
      import { execv } from ${JSON.stringify(join(projectRoot, 'dist', 'native', 'index.js'))};
      process.stderr.write('before ');
      process.env.ADDED = 'variable';
      execv('/bin/sh', ['-c', 'echo $$ "$ADDED" "$0" "$1" >&2; readlink /proc/$$/fd/* >&2; cat', 'ä', '']);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, CRIU_CUDA_NATIVE: backend },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.end('through');
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect(out).toBe('through');
    expect(err).toContain(`before ${child.pid} variable ä \n`);
    expect(err).not.toContain('anon_inode');
  });

  it('lock a directory as long as its descriptor is open', () => {
    use();
    const dir = mkdtempSync(join(tmpdir(), 'lock-'));
    const fds = [0, 1, 2].map(() => openSync(dir, 'r'));
    const [one = -1, other = -1, third = -1] = fds;
    expect(tryLock(one, false)).toBe(true);
    expect(tryLock(other, false)).toBe(true);
    expect(tryLock(third, true)).toBe(false);
    closeSync(one);
    closeSync(other);
    expect(tryLock(third, true)).toBe(true);
    closeSync(third);
    rmSync(dir, { recursive: true });
    expect(() => tryLock(1_000_000, true)).toThrow(
      expect.objectContaining({ code: 'ERR_SYSTEM_EBADF' }) as Error,
    );
  });

  it('find what is not a hole, up to a size', () => {
    use();
    const dir = mkdtempSync(join('/dev/shm', 'ranges-'));
    const fd = openSync(join(dir, 'file'), 'w+');
    expect([...dataRanges(fd, 0)]).toEqual([]);
    ftruncateSync(fd, 64 << 20);
    expect([...dataRanges(fd, 64 << 20)]).toEqual([]);
    for (const at of [16 << 20, 48 << 20]) writeSync(fd, 'x', at);
    const ranges = [...dataRanges(fd, 64 << 20)];
    expect(ranges.map(([begin]) => begin)).toEqual([16 << 20, 48 << 20]);
    for (const [begin, end] of ranges) expect(end - begin).toBeLessThanOrEqual(2 << 20); // a page, which may be a huge one
    expect([...dataRanges(fd, (16 << 20) + 1)]).toEqual([[16 << 20, (16 << 20) + 1]]);
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });

  it('take a file for data as a whole where holes cannot be asked for', () => {
    use();
    const read = openSync('/proc/self/status', 'r');
    expect([...dataRanges(read, 100)]).toEqual([[0, 100]]);
    closeSync(read);
  });

  it('say why a program cannot be executed, and stay what they are', () => {
    use();
    expect(() => execv('/dev/null', [])).toThrow('execv(/dev/null): EACCES (13)');
  });

  it('name what failed, and why', () => {
    use();
    expect(() => pidfdOpen(NO_SUCH_PID)).toThrow(SystemCallError);
    expect(() => pidfdOpen(NO_SUCH_PID)).toThrow(`pidfd_open(${NO_SUCH_PID}): ESRCH (3)`);
    expect(() => waitpidNoHang(NO_SUCH_PID)).toThrow(
      expect.objectContaining({ code: 'ERR_SYSTEM_ECHILD', errno: constants.errno.ECHILD }) as Error,
    );
    expect(() => onReadable(1_000_000, () => undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_SYSTEM_EBADF' }) as Error,
    );
  });
});
