// SPDX-License-Identifier: MIT
/**
 * Does something while criu keeps a dumped tree stopped, although the tree runs on afterwards: criu calls an action script
 * when its images are complete, and the script waits for this process.
 * @module
 */
import { existsSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { execResult } from '../exec.ts';

/** Files of the script and this process, in a directory of their own. */
const reachedName = 'reached';
const doneName = 'done';

/** It does not wait for a process that has ended: criu would keep the tree stopped forever. */
const script = `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
dir=\${0%/*}
: >"$dir/${reachedName}"
while [ ! -e "$dir/${doneName}" ] && kill -0 ${process.pid} 2>/dev/null; do sleep 0.01; done
`;

/** What criu is told, and what ends it. */
export interface WhileStopped {
  /** For criu's `--action-script`. */
  script: string;
  /** Removes the script. */
  close(): void;
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
 * @param act called once, when the images are complete and the tree is stopped; it must not throw
 * @returns `undefined` where criu cannot run scripts of ours: then `act` is never called
 */
export async function actWhileStopped(act: () => void): Promise<WhileStopped | undefined> {
  const dir = makeTemporaryDirectory('criu-cuda-stopped-');
  const path = join(dir, 'wait.sh');
  writeFileSync(path, script, { mode: 0o700 });
  if (!(await canRun(path))) {
    removeTemporaryDirectory(dir);
    return undefined;
  }
  const watcher = watch(dir, () => {
    if (!existsSync(join(dir, reachedName)) || existsSync(join(dir, doneName))) return;
    watcher.close();
    try {
      act();
    } finally {
      writeFileSync(join(dir, doneName), '');
    }
  });
  return {
    script: path,
    close: () => {
      watcher.close();
      removeTemporaryDirectory(dir);
    },
  };
}
