// SPDX-License-Identifier: MIT
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCriuLog, summarizeCriuLog } from '../../../lib/criu/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

const fixture = (name: string): string => join(import.meta.dirname, '../../fixtures/criu-logs', name);

describe('a log of criu', () => {
  it.each([
    ['bad-size.log', /^File var\/log\/app\.log has bad size 512 \(expect 128\)$/, /restore its old content/],
    ['pid-taken.log', /^Can't fork for \d+: File exists$/, /the pid is in use/],
    ['thread-taken.log', /^Unable to create a thread: -17$/, /the id of one of its threads is in use/],
    ['missing-plugin.log', /^Missing required plugin: cuda_plugin$/, /--libdir/],
    [
      'missing-driver.log',
      /^CRIU_CUDA_DRIVER "\/no\/such\/libcuda\.so\.1" cannot be opened/,
      /criu-cuda doctor/,
    ],
    ['shell-job.log', /is not a session leader/, /--shell-job/],
    [
      'tcp.log',
      /^inet: Connected TCP socket, consider using --tcp-established option\.$/,
      /--tcp-established/,
    ],
    ['device.log', /^Can't handle non-regular mapping on 77's map 7f1200000000$/, /no loaded plugin/],
  ])('%s', (name, message, hint) => {
    const summary = readCriuLog(fixture(name));
    expect(summary.message).toMatch(message);
    expect(summary.hint).toMatch(hint);
    expect(summary.errors.join('\n')).not.toMatch(/FAILED/);
  });

  it.each([
    ['page-xfer: Unable to spice data: No space left on device', /file system of the images directory$/],
    [
      "pidfile: Can't write pid 7 to /tmp/criu-cuda-restore-ab/pid: No space left on device",
      /^free some space in \/tmp, or set TMPDIR/,
    ],
    [
      'cuda_plugin: cannot create a status file in /run/x: No space left on device; free space there, or name another directory in CRIU_CUDA_RUN_DIR',
      /^free space there, or name another directory in CRIU_CUDA_RUN_DIR$/,
    ],
  ])('says where there is no space: %s', (said, hint) => {
    expect(summarizeCriuLog(`(00.010000) Error (criu/x.c:1): ${said}`).hint).toMatch(hint);
  });

  it('takes no line of a run that has succeeded for a reason', () => {
    const said = [
      'Restore finished successfully. Tasks resumed.',
      'cuda_plugin: hooks took 5.9 ms (2.6 ms in the driver)',
    ];
    expect(summarizeCriuLog(said.map((line) => `(00.240236) ${line}`).join('\n')).message).toBeUndefined();
  });

  it('names a process that something else traces, such as another dump', () => {
    const summary = summarizeCriuLog(
      [
        '(00.4) Warn  (compel/src/lib/infect.c:132): Unable to interrupt task: 7 (Operation not permitted)',
        '(00.4) cuda_plugin: hooks took 212.3 ms (0.0 ms in the driver)',
        '(00.4) Error (compel/src/lib/infect.c:417): Unable to detach from 7: No such process',
        '(00.4) Error (criu/cr-dump.c:1975): Dumping FAILED.',
      ].join('\n'),
    );
    expect(summary.message).toBe('Unable to interrupt task: 7 (Operation not permitted)');
    expect(summary.hint).toMatch(/traced, by a debugger or by another dump/);
  });

  it('names what made the plugin end the processes, not that CRIU found them ended', () => {
    const said =
      'cuda_plugin: device restore of 7 failed: load: cuda-1-0.img: chunk 0: the file is damaged; killing';
    const summary = summarizeCriuLog(
      [
        `(00.1) Error (cuda_plugin): ${said}`,
        '(00.2) Error (criu/cr-restore.c:1924): Unable to detach 7: No such process',
        '(00.3) Error (criu/cr-restore.c:2331): Restoring FAILED.',
      ].join('\n'),
    );
    expect(summary).toMatchObject({ message: said, errors: [said] });
    expect(summary.hint).toMatch(/^copy the images again/);
  });

  it('explains a file whose mount is not in the container', () => {
    const { hint } = summarizeCriuLog(
      "Error (criu/files-reg.c:1816): Can't lookup mount=28 for fd=1 path=/tmp/out.log",
    );
    expect(hint).toMatch(/stdout in a file of the host: .*\/dev\/null/);
  });

  it.each([
    [
      "files-ext.c:98): Can't dump file 5 of that type [600] (unknown anon_inode:[perf_event])",
      /^CRIU cannot dump perf_event descriptors/,
    ],
    ["cr-dump.c:477): Task 77 with SysVIPC shmem map @7f00 doesn't live in IPC ns", /unshare --ipc/],
    ['image.c:198): Missing required plugin: cuda.img', /a file of this checkpoint is missing/],
    ["files-ext.c:98): Can't dump file 5 of that type [20600] (chr 195:0 /dev/nvidia0)", /no loaded plugin/],
  ])('%s', (error, hint) => {
    expect(summarizeCriuLog(`(00.1) Error (criu/${error}`).hint).toMatch(hint);
  });

  it('in a plain chroot names the missing mount', () => {
    const { hint } = summarizeCriuLog(
      'Error (criu/mount.c:381): mnt: No parent found for mountpoint 164 (@./tmp)',
    );
    expect(hint).toMatch(/^the root directory is not a mount point.*mount --bind DIR DIR/);
  });

  it('in which a program has changed names the upgrade; of another file it says what to do with logs', () => {
    const said = (path: string): string | undefined =>
      summarizeCriuLog(`Error (criu/files-reg.c:2091): File ${path} has bad size 9 (expect 8)`).hint;
    expect(said(process.execPath)).toMatch(/^this program or library was upgraded after the dump/);
    expect(said(process.execPath.slice(1))).toMatch(/^this program or library was upgraded/);
    expect(said(import.meta.filename)).toMatch(/^the file changed after the dump/);
    expect(said('no/such/file')).toMatch(/^the file changed after the dump/);
  });

  it('shows the error, not those that follow from it', () => {
    const text = [
      "(00.1)  7: Error (criu/sk-inet.c:1059): inet: Can't bind inet socket (id 26): Address already in use",
      '(00.1)  7: Error (criu/files.c:1221): Unable to open fd=16 id=0x1a',
      "(00.1)  7: Error (criu/mem.c:1432): `- Can't open vma",
      '(00.2) Error (criu/cr-restore.c:2331): Restoring FAILED.',
    ].join('\n');
    const { message, errors } = summarizeCriuLog(text);
    expect(message).toBe("inet: Can't bind inet socket (id 26): Address already in use");
    expect(errors).toEqual([message]);
  });

  it('says when an address of a kept connection cannot be used again', () => {
    const { hint } = summarizeCriuLog(
      "(00.1)  7: Error (criu/sk-inet.c:1059): inet: Can't connect inet socket back: Cannot assign requested address",
    );
    expect(hint).toContain('restore without --tcp-established');
  });

  it("of another user's process names the capability", () => {
    const { hint } = summarizeCriuLog(
      "Error (criu/cr-dump.c:1): Can't get rlimit 0: Operation not permitted",
    );
    expect(hint).toContain('CAP_SYS_RESOURCE');
  });

  it('of a success has no error', () => {
    const summary = readCriuLog(fixture('success.log'));
    expect(summary).toMatchObject({ message: undefined, hint: undefined, errors: [] });
    expect(summary.tail).toMatch(/Dumping finished successfully$/);
  });

  it('that was never written is empty', () => {
    const dir = mkdtempSync(join(tmpdir(), 'ccr-log-'));
    expect(readCriuLog(join(dir, 'dump.log'))).toEqual({
      message: undefined,
      hint: undefined,
      errors: [],
      tail: '',
    });
    rmSync(dir, { recursive: true });
  });

  // the kernel says that /proc has 0 blocks, like a ramfs, which has no limit
  it.each(['/proc/none/of/this/dump.log', '/proc/none.log'])('%s was never written, either', (path) => {
    expect(readCriuLog(path)).toMatchObject({ message: undefined, hint: undefined, errors: [] });
  });

  it("falls back to the plugin's last line when CRIU names no cause", () => {
    const summary = summarizeCriuLog(
      [
        '(00.010000) cuda_plugin: version 0.1.0, variant stock',
        '(00.020000) cuda_plugin: 7: its GPU work did not end within CRIU_CUDA_LOCK_TIMEOUT_MS = 100; raise it',
        '(00.020100) Error (criu/cr-dump.c:2098): Dumping FAILED.',
      ].join('\n'),
    );
    expect(summary.message).toMatch(/^7: its GPU work did not end/);
  });

  it('shows the first of several causes and keeps the others', () => {
    const errors = ['one', 'two', 'three'].map(
      (what, n) => `(00.00000${n})     12: Error (criu/x.c:${n}): ${what} broke`,
    );
    const summary = summarizeCriuLog(
      [...errors, '(00.1) Error (criu/cr-restore.c:1): Restoring FAILED.'].join('\n'),
    );
    expect(summary.message).toBe('one broke');
    expect(summary.errors).toEqual(['one broke', 'two broke', 'three broke']);
  });
});

/** C sources below a folder of plugins-cuda, with string literals that are split over lines joined. */
const cSources = (...folders: string[]): string =>
  folders
    .flatMap((folder) => {
      const path = join(projectRoot, 'plugins-cuda', folder);
      return readdirSync(path, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.c'))
        .map((name) => readFileSync(join(path, name), 'utf8'));
    })
    .join('\n')
    .replace(/"\s*\n\s*"/g, '');

describe('a message of our plugin', () => {
  it.each([
    ['%d is stopped by a signal; send SIGCONT before dumping', /criu-cuda wake/],
    [
      'no libcuda.so.1 found; install the NVIDIA driver (570 or newer) or set CRIU_CUDA_DRIVER, without a GPU to the libcuda.so.1 of softcuda',
      /criu-cuda doctor/,
    ],
    [String.raw`CRIU_CUDA_DRIVER \"%s\" cannot be opened: %s`, /criu-cuda doctor/],
  ])('%j is printed by the C sources and has a hint', (literal, hint) => {
    expect(cSources('plugin', 'common')).toContain(`"${literal}"`);
    const line = `(00.1) cuda_plugin: ${literal.replaceAll('\\"', '"').replace('%d', '7').replaceAll('%s', '/x')}`;
    expect(summarizeCriuLog(line).hint).toMatch(hint);
  });
});
