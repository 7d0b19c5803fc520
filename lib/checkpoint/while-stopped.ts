// SPDX-License-Identifier: MIT
/**
 * Does something while criu keeps a dumped tree stopped: criu calls an action script when its images are complete, and the
 * script waits for this process. Until it has ended, the dump can be undone.
 * @module
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeFile, removeTemporaryDirectory } from '../directory.ts';
import { execResult } from '../exec.ts';

/** Files of the script and this process, in a directory of their own. */
const reachedName = 'reached';
/** Renamed or removed at the end: no room is needed for that. */
const waitingName = 'waiting';
const doneName = 'done';

/** How long criu may take to end by itself, be it that it undoes the dump. Milliseconds. */
const END_MS = 60_000;

/** How often this process looks for the script. A watch would need what other programs may have used up. Milliseconds. */
const POLL_MS = 5;

/** It does not wait for a process that has ended: criu would keep the tree stopped forever. Then the dump fails. Where
 * there is no `sleep`, it looks as often as it can. */
const script = `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
dir=\${0%/*}
: >"$dir/${reachedName}" || exit 1
while [ -e "$dir/${waitingName}" ] && kill -0 ${process.pid} 2>/dev/null; do
  sleep 0.01 2>/dev/null || :
done
[ -e "$dir/${doneName}" ]
`;

/** What criu is told, and what ends it. */
export interface WhileStopped {
  /** For criu's `--action-script`. */
  script: string;
  /**
   * For the run of criu: a criu that has called the script is not killed. The script fails, and criu itself undoes the dump,
   * which also removes its names of deleted files and its lock of the network.
   */
  gracePeriod: () => number;
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
 * aborted when the dump is to end, and when criu has ended
 * @returns `undefined` where criu cannot run scripts of ours: then `act` is never called
 */
export async function actWhileStopped(
  act: (signal: AbortSignal) => Promise<void>,
): Promise<WhileStopped | undefined> {
  const dir = makeTemporaryDirectory('criu-cuda-stopped-');
  const path = join(dir, 'wait.sh');
  const reached = join(dir, reachedName);
  const waiting = join(dir, waitingName);
  try {
    writeFileSync(path, script, { mode: 0o700 });
    writeFileSync(waiting, '');
  } catch (error) {
    removeTemporaryDirectory(dir);
    throw error;
  }
  if (!(await canRun(path))) {
    removeTemporaryDirectory(dir);
    return undefined;
  }
  const ending = new AbortController();
  const { signal } = ending;
  const actAndSay = async (): Promise<void> => {
    try {
      signal.throwIfAborted();
      await act(signal);
      signal.throwIfAborted();
      renameSync(waiting, join(dir, doneName));
    } catch {
      try {
        removeFile(waiting);
      } catch {
        // criu is ended when its time is over
      }
    }
  };
  let acts: Promise<void> | undefined;
  const poll = setInterval(() => {
    if (!existsSync(reached)) return;
    clearInterval(poll);
    acts = actAndSay();
  }, POLL_MS);
  return {
    script: path,
    gracePeriod: () => {
      if (!existsSync(reached)) return 0;
      ending.abort();
      return END_MS;
    },
    close: async () => {
      clearInterval(poll);
      ending.abort();
      await acts;
      removeTemporaryDirectory(dir);
    },
  };
}
