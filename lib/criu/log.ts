// SPDX-License-Identifier: MIT
/**
 * Reads CRIU's log: what went wrong, and what the user can do about it.
 * @module
 */
import { closeSync, openSync, readFileSync, readSync, statfsSync, type StatsFs } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '../errno.ts';
import { tailOf } from '../exec.ts';
import { downLoopback, unmountedRoot } from '../machine/index.ts';

export interface CriuLogSummary {
  /** One line that says what went wrong, without timestamp and source position. */
  message: string | undefined;
  /** What the user can do, if the error is a known one. */
  hint: string | undefined;
  /** The last errors, oldest first. */
  errors: string[];
  /** The last lines, unchanged. */
  tail: string;
}

const MAX_ERRORS = 8;
/** A file system with less is full. Bytes. */
const LEAST_ROOM = 64 << 10;
/** Before a line: the time, `pie:` when code in a restored process writes it, and the pid. */
const STAMP = /^\(\d+\.\d+\)\s*(?:pie: )?(?:\d+: )?\s*/;
const ERROR_LINE = /^Error \([^)]*\): (.*)$/;
const PLUGIN_LINE = /^cuda_plugin: (?!hooks took )(.*)$/;
/** A warning that CRIU fails after, without an error that says so. */
const SEIZE_LINE = /^Warn {2}\([^)]*\): (Unable to (?:seize|interrupt) task: .*)$/;

const DONE = /^(?:Dumping|Restore) finished successfully/;

/** Errors that follow from another error, which is the one to show, or that are harmless. */
const consequences: readonly RegExp[] = [
  /^rlimit: Can't setup RLIMIT_NOFILE/,
  /^(Dumping|Restoring|Pre-dumping) FAILED/,
  /^Killing processes because of failure/,
  /^The Network was unlocked/,
  /^Can't freeze the tree/,
  /exited, status=\d+$/,
  /^(Dump|Collect) .*\(pid: \d+\) failed with/,
  /^Unable to detach (?:from )?\d+/,
  /^Restorer fail \d+$/,
  /^Unable to open fd=\d+ id=/,
  /^`?- Can't open vma/,
  /^Failed in init\(\d+\) of "cuda_plugin"/,
];

/** Images that CRIU takes for empty ones when they are missing. It says so, but not as an error. */
const MISSING_IMAGE = /^No ((?:core|mm|fs|ids|pagemap)-\d+\.img|files\.img) image$/;
/** What CRIU does then. */
const misread = [/^Unexpected EOF on \(empty-image\)/, /^\d+ killed by signal 11/];

/** The missing image that a failure is due to. */
function missingImage(lines: readonly string[], causes: readonly string[]): string | undefined {
  if (!causes.every((cause) => misread.some((pattern) => pattern.test(cause)))) return undefined;
  const name = lines.flatMap((line) => MISSING_IMAGE.exec(line)?.[1] ?? []).at(-1);
  return name === undefined ? undefined : `${name} is missing`;
}

interface Remedy {
  pattern: RegExp;
  /** A function gets the error, and may know nothing about it: then the next entry counts. */
  hint: string | ((error: string) => string | undefined);
}

const FULL = 'No space left on device';

/** What is full: the directory of temporary files, the run directory, or, most often, that of the images. */
function spaceHint(error: string): string {
  if (error.includes('CRIU_CUDA_RUN_DIR'))
    return 'free space there, or name another directory in CRIU_CUDA_RUN_DIR';
  const pidFile = /Can't write pid \d+ to (.*\/)/.exec(error)?.[1];
  return pidFile === undefined
    ? 'free some space on the file system of the images directory'
    : `free some space in ${dirname(pidFile)}, or set TMPDIR to another directory`;
}

/** Criu says nothing where there is no room for its log. */
function withoutRoom(path: string): Pick<CriuLogSummary, 'message' | 'hint'> | undefined {
  let stats: StatsFs;
  try {
    stats = statfsSync(dirname(path));
  } catch {
    return undefined; // the directory is gone
  }
  const free = process.geteuid?.() === 0 ? stats.bfree : stats.bavail; // root may use what is reserved
  // without a limit, as in a ramfs, all numbers are 0
  return stats.blocks > 0 && free * stats.bsize < LEAST_ROOM
    ? { message: `${path}: ${FULL}`, hint: `free some space in ${dirname(path)}` }
    : undefined;
}

const elfMagic = Buffer.from('\x7fELF');

/** Whether a file is a program or a library. */
function isElf(path: string): boolean {
  try {
    const file = openSync(path, 'r');
    try {
      const head = Buffer.alloc(elfMagic.length);
      return readSync(file, head) === head.length && head.equals(elfMagic);
    } finally {
      closeSync(file);
    }
  } catch {
    return false; // gone, or not for this user to read
  }
}

/** CRIU names a mapped program like any other file that has changed, relative to the root directory. */
function changedFileHint(error: string): string | undefined {
  const path = /^File (\S+) has bad /.exec(error)?.[1];
  if (path === undefined || !isElf(path.startsWith('/') ? path : `/${path}`)) return undefined;
  return 'this program or library was upgraded after the dump: install the version of the dump again, or start the program and make a new checkpoint';
}

/** The first entry that matches any error is used. */
const remedies: readonly Remedy[] = [
  {
    pattern: /^[\w-]+\.img is missing$/,
    hint: 'a file of this checkpoint is missing: copy its whole directory again',
  },
  ...[unmountedRoot, downLoopback].map(({ pattern, remedy }) => ({ pattern, hint: remedy })),
  {
    pattern: /Missing required plugin: cuda(?:-(?:host-)?\d+)?\.img/,
    hint: 'a file of this checkpoint is missing, or the plugin does not know about it: the file must be in the images directory, and the plugin must be at least as new as the one of the dump',
  },
  {
    pattern: /Missing required plugin/,
    hint: 'the checkpoint was made with that plugin: install it (criu-cuda install), or pass its directory with --libdir',
  },
  {
    pattern: /the file is damaged/,
    hint: 'copy the images again, or make a new checkpoint; criu-cuda image verify DIR finds all damage',
  },
  {
    pattern: /Can't lookup mount=/,
    hint: 'a file is open whose mount is not in its container, such as stdout in a file of the host: let the engine start the program with its output in a pipe, a terminal or /dev/null',
  },
  { pattern: /^File \S+ has bad (?:size|mode|build-ID)/, hint: changedFileHint },
  {
    pattern: /has bad size/,
    hint: 'the file changed after the dump: restore its old content; let programs write logs to stdout, or open them for appending',
  },
  {
    pattern: /Cannot assign requested address/,
    hint: 'an address of its connections or listening sockets is not on this machine, or a connection of an earlier copy has not ended yet: add the address, or wait up to a minute (ss -tan shows it), or restore without --tcp-established, which closes connections',
  },
  {
    pattern: /Can't fork for \d+: File exists/,
    hint: 'the pid is in use: end the process that has it (of a zombie, its parent), or restore with --isolated',
  },
  {
    pattern: /Unable to create a thread: -17/,
    hint: 'the id of one of its threads is in use: restore again when the process or thread that has it has ended, or restore with --isolated',
  },
  {
    pattern: /libcuda\.so|CRIU_CUDA_DRIVER/,
    hint: 'the plugin needs the NVIDIA driver 570 or newer: see criu-cuda doctor, or set CRIU_CUDA_DRIVER to the path of libcuda.so.1, without a GPU to that of softcuda',
  },
  {
    pattern: /is stopped by a signal; send SIGCONT/,
    hint: 'resume it with kill -CONT PID, or with criu-cuda wake PID if it was restored with --leave-stopped',
  },
  {
    pattern: /is not a session leader|Consider using --shell-job/,
    hint: 'the process belongs to a session that is not dumped with it: pass --shell-job to the checkpoint and to the restore',
  },
  {
    pattern: /Don't have tty to inherit session from/,
    hint: "the checkpoint includes a terminal: restore it from one, or give it one: script -qfc 'criu-cuda restore DIR' LOG",
  },
  {
    pattern: /--tcp-established/,
    hint: 'the process has open TCP connections: pass --tcp-established to the checkpoint and to the restore',
  },
  {
    pattern: /External socket (is used|found)|--ext-unix-sk/,
    hint: 'the process is connected to a Unix socket of another process, whose name was not there: start that process first',
  },
  {
    pattern: /--file-locks/,
    hint: 'the process holds file locks: pass --file-locks to the checkpoint and to the restore',
  },
  {
    pattern: /--link-remap/,
    hint: 'the process has open files that have been deleted: pass --link-remap, which lets CRIU link them again',
  },
  {
    pattern: /ghost file|ghost-limit/,
    hint: 'a deleted file that is still open is larger than CRIU stores: add -- --ghost-limit SIZE',
  },
  {
    pattern: /io_uring/,
    hint: 'CRIU cannot dump io_uring: start the program with criu-cuda run, which forbids it; in a container, with the seccomp profile that criu-cuda container setup writes',
  },
  {
    pattern: /anon_inode:\[perf_event\]/,
    hint: 'CRIU cannot dump perf_event descriptors: end the profiling that opened it, or start it without (perf, PAPI, likwid)',
  },
  {
    pattern: /with SysVIPC shmem map .* doesn't live in IPC ns/,
    hint: "CRIU dumps System V shared memory only with an IPC namespace of the program's own: start it with unshare --ipc, or in a container",
  },
  {
    pattern: /Can't handle non-regular mapping|handle_device_vma|Can't dump file \d+ of that type/,
    hint: 'no loaded plugin handles a file or device that is open: if it is of the GPU driver, check further up in the log that the CUDA plugin was found and not disabled; let the program close any other before the dump',
  },
  {
    pattern: /Unsupported proto 262/,
    hint: 'CRIU cannot dump MPTCP sockets: start the program with criu-cuda run, which sets GODEBUG=multipathtcp=0 for Go programs',
  },
  {
    pattern: /suspending seccomp failed/,
    hint: 'criu may not suspend the seccomp filter of the process: run it as root, outside of shells that criu-cuda run started',
  },
  {
    pattern: /Can't get rlimit \d+/,
    hint: 'the limits of a process of another user need CAP_SYS_RESOURCE: run as root with it, or as the user of the process',
  },
  { pattern: new RegExp(FULL), hint: spaceHint },
  {
    pattern: /CAP_(SYS_ADMIN|CHECKPOINT_RESTORE)|Unable to (seize|interrupt).*not permitted/i,
    hint: 'run as root; a process that is traced, by a debugger or by another dump, cannot be dumped: try again when that has ended',
  },
];

/** Finds out what a log says about a failed run. */
export function summarizeCriuLog(text: string): CriuLogSummary {
  const lines = text.split('\n').map((line) => line.replace(STAMP, ''));
  const errors = lines.flatMap((line) => ERROR_LINE.exec(line)?.[1] ?? []);
  const causes = errors.filter((error) => !consequences.some((pattern) => pattern.test(error)));
  const missing = errors.length > 0 ? missingImage(lines, causes) : undefined;
  if (missing !== undefined) causes.splice(0, causes.length, missing);
  // a plugin's line has no level: it is the cause when CRIU itself names none
  const plugin = lines.flatMap((line) => PLUGIN_LINE.exec(line)?.[1] ?? []).at(-1);
  const isDone = lines.some((line) => DONE.test(line)); // what failed, if anything, is not in this log
  if (causes.length === 0 && !isDone) {
    const seizing = lines.flatMap((line) => SEIZE_LINE.exec(line)?.[1] ?? []);
    causes.push(...(seizing.length > 0 ? seizing : plugin === undefined ? [] : [plugin]));
  }
  const known = remedies
    .map(({ pattern, hint }) => {
      const error = causes.find((cause) => pattern.test(cause));
      return { error, hint: typeof hint === 'string' || error === undefined ? hint : hint(error) };
    })
    .find(({ error, hint }) => error !== undefined && hint !== undefined);
  return {
    message: known?.error ?? causes.at(-3) ?? causes.at(-2) ?? causes.at(-1) ?? errors.at(-1),
    hint: typeof known?.hint === 'string' ? known.hint : undefined,
    errors: (causes.length > 0 ? causes : errors).slice(-MAX_ERRORS),
    tail: tailOf(text),
  };
}

/** The same for a file; a log that was never written counts as empty. */
export function readCriuLog(path: string): CriuLogSummary {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  const summary = summarizeCriuLog(text);
  return summary.message === undefined ? { ...summary, ...withoutRoom(path) } : summary;
}
