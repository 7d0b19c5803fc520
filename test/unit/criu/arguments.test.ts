// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { completeFlags, dumpArguments, restoreArguments } from '../../../lib/criu/index.ts';

const dirs = { imagesDir: '/images', workDir: '/work' };

describe('dumpArguments', () => {
  it('of a plain dump', () => {
    expect(dumpArguments({ ...dirs, pid: 42 })).toEqual([
      ...['dump', '--tree', '42', '--images-dir', '/images', '--work-dir', '/work'],
      ...['--log-file', 'dump.log', '-v3', '--skip-in-flight', '--ghost-limit', '1024G'],
    ]);
  });

  it('with everything; extra arguments come last, so that they take precedence', () => {
    const args = dumpArguments({
      ...dirs,
      pid: 42,
      libdir: '/lib',
      leaveRunning: true,
      shellJob: true,
      tcpEstablished: true,
      extUnixSk: true,
      fileLocks: true,
      linkRemap: true,
      verbosity: 4,
      extraArgs: ['--ghost-limit', '10M'],
    });
    expect(args.slice(9)).toEqual([
      ...['-v4', '--libdir', '/lib', '--shell-job', '--tcp-established', '--ext-unix-sk', '--file-locks'],
      ...['--link-remap', '--skip-in-flight', '--ghost-limit', '1024G', '--leave-running'],
      ...['--ghost-limit', '10M'],
    ]);
  });

  it('of a user who is not root', () => {
    expect(dumpArguments({ ...dirs, pid: 1, unprivileged: true })).toContain('--unprivileged');
    expect(dumpArguments({ ...dirs, pid: 1, unprivileged: false })).not.toContain('--unprivileged');
  });

  it('leaves out flags that are off', () => {
    const args = dumpArguments({ ...dirs, pid: 1, shellJob: false, leaveRunning: false, fileLocks: false });
    expect(args.filter((arg) => /shell|leave|locks/.test(arg))).toEqual([]);
  });
});

describe('restoreArguments', () => {
  it('leave the tasks to the nearest subreaper and write the pid to a file', () => {
    expect(
      restoreArguments({ ...dirs, pidFile: '/tmp/pid', shellJob: true, extraArgs: ['--weak-sysctls'] }),
    ).toEqual([
      ...['restore', '--restore-detached', '--pidfile', '/tmp/pid', '--images-dir', '/images'],
      ...['--work-dir', '/work', '--log-file', 'restore.log', '-v3', '--shell-job', '--weak-sysctls'],
    ]);
  });

  it('leaves the tasks stopped only when asked', () => {
    const args = (leaveStopped: boolean): string[] =>
      restoreArguments({ ...dirs, pidFile: '/tmp/pid', leaveStopped, extraArgs: ['--last'] });
    expect(args(true).slice(-2)).toEqual(['--leave-stopped', '--last']);
    expect(args(false)).not.toContain('--leave-stopped');
  });
});

describe('completeFlags', () => {
  it('lets any tree be dumped', () => {
    expect(completeFlags({})).toEqual({
      ...{ tcpEstablished: true, extUnixSk: true, fileLocks: true, linkRemap: true },
    });
  });

  it('prefers what was chosen', () => {
    expect(completeFlags({ tcpClose: true, fileLocks: false, shellJob: true })).toEqual({
      ...{ tcpEstablished: false, tcpClose: true, extUnixSk: true, fileLocks: false, linkRemap: true },
      shellJob: true,
    });
  });
});
