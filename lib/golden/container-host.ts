// SPDX-License-Identifier: MIT
/** A container that runs a server. @module */
import { findContainer } from '../container/index.ts';
import { execResult, tailOf } from '../exec.ts';
import type { Host } from '../server/index.ts';

async function logsOf(container: string): Promise<string> {
  const { stdout, stderr } = await execResult('podman', ['logs', '--tail', '12', container]);
  return tailOf(`${stdout}${stderr}`);
}

export function containerHost(name: string): Host {
  return {
    name,
    isRunning: async () => (await findContainer(name))?.isRunning === true,
    lastOutput: () => logsOf(name),
    hint: `podman logs ${name}`,
  };
}
