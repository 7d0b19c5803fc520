// SPDX-License-Identifier: MIT
/**
 * Does something while criu keeps a dumped tree stopped: criu calls an action script when its images are complete, and the
 * script waits for this process. Until it has ended, the dump can be undone.
 * @module
 */
import { existsSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { execResult } from '../exec.ts';

/** Files of the script and this process, in a directory of their own. */
const reachedName = 'reached';
const doneName = 'done';
const failedName = 'failed';

/** How long criu may take to undo the dump by itself. Milliseconds. */
const UNDO_MS = 60_000;

/** It does not wait for a process that has ended: criu would keep the tree stopped forever. Then the dump fails. */
const script = `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
dir=\${0%/*}
: >"$dir/${reachedName}"
until [ -e "$dir/${doneName}" ]; do
  [ ! -e "$dir/${failedName}" ] && kill -0 ${process.pid} 2>/dev/null || exit 1
  sleep 0.01
done
`;

/** What criu is told, and what ends it. */
export interface WhileStopped {
  /** For criu's `--action-script`. */
  script: string;
  /**
   * For the run of criu. It is aborted with the caller's, but not while criu waits: then the script fails, and criu itself
   * undoes the dump, which also removes its names of deleted files and its lock of the network.
   */
  signal: AbortSignal;
  /** Ends what still runs, and removes the script. */
  close(): Promise<void>;
}

/** Whether the script can be executed: a temporary directory may forbid it. */
async function canRun(path: string): Promise<boolean> {
  try {
    return (await execResult(path, [], { env: { CRTOOLS_SCRIPT_ACTION: undefined } })).exitCode === 0;
  } catch {
    return false;
  }
}

/**
 * @param act called once, when the images are complete and the tree is stopped; if it throws, the dump fails. Its signal is
 * aborted with the caller's, and when criu ends
 * @param caller ends the dump
 * @returns `undefined` where criu cannot run scripts of ours: then `act` is never called
 */
export async function actWhileStopped(
  act: (signal: AbortSignal) => Promise<void>,
  caller: AbortSignal | undefined,
): Promise<WhileStopped | undefined> {
  const dir = makeTemporaryDirectory('criu-cuda-stopped-');
  const path = join(dir, 'wait.sh');
  writeFileSync(path, script, { mode: 0o700 });
  if (!(await canRun(path))) {
    removeTemporaryDirectory(dir);
    return undefined;
  }
  const run = new AbortController();
  const acting = new AbortController();
  let acts: Promise<void> | undefined;
  let isWaiting = false;
  let late: NodeJS.Timeout | undefined;
  const say = (name: string): void => {
    isWaiting = false;
    writeFileSync(join(dir, name), '');
  };
  const watcher = watch(dir, () => {
    if (acts !== undefined || !existsSync(join(dir, reachedName))) return;
    watcher.close();
    isWaiting = true;
    acts = act(acting.signal).then(
      () => {
        say(doneName);
      },
      () => {
        say(failedName);
      },
    );
  });
  const onAbort = (): void => {
    acting.abort(caller?.reason);
    if (!isWaiting) run.abort(caller?.reason);
    else
      late = setTimeout(() => {
        run.abort(caller?.reason);
      }, UNDO_MS);
  };
  if (caller?.aborted === true) onAbort();
  caller?.addEventListener('abort', onAbort, { once: true });
  return {
    script: path,
    signal: run.signal,
    close: async () => {
      watcher.close();
      clearTimeout(late);
      caller?.removeEventListener('abort', onAbort);
      acting.abort();
      await acts;
      removeTemporaryDirectory(dir);
    },
  };
}
