// SPDX-License-Identifier: MIT
/**
 * System calls through koffi; native/libc.cc is the addon's side.
 * @module
 */
import { constants } from 'node:os';
import type { Koffi } from './koffi-loader.ts';
import type { LibcCalls } from './types.ts';

const PR_SET_CHILD_SUBREAPER = 36;
const PR_GET_CHILD_SUBREAPER = 37;
// the same number on every architecture: it is newer than the unified tables
const SYS_PIDFD_OPEN = 434;
const WNOHANG = 1;
const F_GETFD = 1;
const F_SETFD = 2;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export function koffiLibc(koffi: Koffi): LibcCalls {
  const libc = koffi.load('libc.so.6');
  const word = 'unsigned long';
  const setOption = libc.func('prctl', 'int', ['int', word, word, word, word]);
  const getOption = libc.func('prctl', 'int', ['int', koffi.out(koffi.pointer('int')), word, word, word]);
  const syscall = libc.func('long syscall(long number, ...)');
  const waitpid = libc.func('waitpid', 'int', ['int', koffi.out(koffi.pointer('int')), 'int']);
  const fcntl = libc.func('int fcntl(int fd, int command, ...)');
  const flock = libc.func('int flock(int fd, int operation)');
  const lseek = libc.func('lseek', 'long', ['int', 'long', 'int']);
  const execv = libc.func('int execv(const char *path, const char **arguments)');
  const orErrno = (result: unknown): number => (Number(result) < 0 ? -koffi.errno() : Number(result));
  return {
    getChildSubreaper: () => {
      const value: [number] = [0];
      const result = orErrno(getOption(PR_GET_CHILD_SUBREAPER, value, 0, 0, 0));
      return result < 0 ? result : value[0];
    },
    setChildSubreaper: (on) => orErrno(setOption(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0)),
    pidfdOpen: (pid) => orErrno(syscall(SYS_PIDFD_OPEN, 'int', pid, 'unsigned int', 0)),
    flock: (fd, exclusive) => orErrno(flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB)),
    seekData: (fd, from, hole) => orErrno(lseek(fd, from, hole ? SEEK_HOLE : SEEK_DATA)),
    waitpid: (pid) => {
      const status: [number] = [0];
      const result = orErrno(waitpid(pid, status, WNOHANG));
      return { result, value: status[0] };
    },
    onReadable: (fd, callback) => {
      // koffi aborts the program for one that is not open
      if (fcntl(fd, F_GETFD) === -1) return -constants.errno.EBADF;
      const handle = koffi.node.poll(fd, { readable: true }, () => {
        stop();
        callback();
      });
      let open = true;
      const stop = (): void => {
        if (!open) return;
        open = false;
        handle.close();
      };
      return stop;
    },
    execv: (path, args) => {
      for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 'int', 0);
      return orErrno(execv(path, [...args, null]));
    },
  };
}
