// SPDX-License-Identifier: MIT
/**
 * The few C library calls Node has no words for. Only this file knows their
 * prototypes. Every call is short; nothing here waits.
 * @module
 */
import koffi from 'koffi';
import { CodedError } from '../errors.ts';

const PR_SET_CHILD_SUBREAPER = 36;
const PR_GET_CHILD_SUBREAPER = 37;
// the same number on every architecture: it is newer than the unified tables
const SYS_PIDFD_OPEN = 434;
const WNOHANG = 1;

const errnoNames = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));

/** A C library call failed; `code` is `ERR_SYSTEM_<errno name>`. */
export class SystemCallError extends CodedError<`ERR_SYSTEM_${string}`> {
  readonly errno: number;

  constructor(call: string, errno: number, hint?: string) {
    const name = errnoNames.get(errno) ?? 'UNKNOWN';
    super(`ERR_SYSTEM_${name}`, `${call}: ${name} (${errno})`, hint === undefined ? {} : { hint });
    this.errno = errno;
  }
}

interface Libc {
  prctl(option: number, a: number | number[], b: number, c: number, d: number): number;
  syscall(number: number, ...args: (string | number)[]): number;
  waitpid(pid: number, status: [number], options: number): number;
}

function bind(): Libc {
  const library = koffi.load('libc.so.6');
  const setter = library.func(
    'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  );
  const getter = library.func('prctl', 'int', [
    'int',
    koffi.out('int *'),
    'unsigned long',
    'unsigned long',
    'unsigned long',
  ]);
  return {
    prctl: (option, a, b, c, d) =>
      (typeof a === 'number' ? setter(option, a, b, c, d) : getter(option, a, b, c, d)) as number,
    syscall: library.func('long syscall(long number, ...)'),
    waitpid: library.func('int waitpid(int pid, _Out_ int *status, int options)'),
  };
}

let bound: Libc | undefined;
const libc = (): Libc => (bound ??= bind());

function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno());
  return result;
}

/** Whether orphaned descendants become children of this process. */
export function getChildSubreaper(): boolean {
  const value = [0];
  check('prctl(PR_GET_CHILD_SUBREAPER)', libc().prctl(PR_GET_CHILD_SUBREAPER, value, 0, 0, 0));
  return value[0] === 1;
}

export function setChildSubreaper(on: boolean): void {
  check('prctl(PR_SET_CHILD_SUBREAPER)', libc().prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0));
}

/** A close-on-exec descriptor that becomes readable when the process has ended; the caller closes it. */
export function pidfdOpen(pid: number): number {
  return check(`pidfd_open(${pid})`, libc().syscall(SYS_PIDFD_OPEN, 'int', pid, 'unsigned int', 0));
}

/** Collects one ended child without waiting. @returns its wait status, or `undefined` while it runs */
export function waitpidNoHang(pid: number): number | undefined {
  const status: [number] = [0];
  const result = check(`waitpid(${pid})`, libc().waitpid(pid, status, WNOHANG));
  return result === pid ? status[0] : undefined;
}

/** Calls back once when `fd` becomes readable. @returns a function that gives up */
export function onReadable(fd: number, callback: () => void): () => void {
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
}
