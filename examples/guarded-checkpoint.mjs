// SPDX-License-Identifier: MIT
// Checkpoints a process tree unless another tool is already working on one of its CUDA processes: a process that is
// locked or checkpointed would be dumped in the middle of that tool's operation.
//
//   node guarded-checkpoint.mjs --pid 4711 --images-dir /dev/shm/img --variant parallel
//
// Exit code 0: done; 1: refused or failed, and the processes are as they were; 2: wrong use.
import { parseArgs } from 'node:util';
import { checkpoint, describeError, readProcessTree } from 'criu-cuda-toolkit';
import { DriverError, openDriver } from 'criu-cuda-toolkit/gpu';

const { values } = parseArgs({
  options: {
    pid: { type: 'string' },
    'images-dir': { type: 'string' },
    variant: { type: 'string', default: 'stock' },
  },
});

/** @returns the CUDA processes of the tree and their checkpoint states */
async function statesOf(root) {
  const driver = await openDriver();
  const states = new Map();
  for (const { pid } of readProcessTree(root)) {
    try {
      states.set(pid, await driver.state(pid));
    } catch (error) {
      if (!(error instanceof DriverError)) throw error; // DriverError: not a CUDA process
    }
  }
  return states;
}

async function main(pid, imagesDir, variant) {
  const busy = [...(await statesOf(pid))].filter(([, state]) => state !== 'running');
  if (busy.length > 0) {
    throw new Error(`refused: ${busy.map(([one, state]) => `${one} is ${state}`).join(', ')}`);
  }
  const result = await checkpoint({ pid, imagesDir, variant });
  console.log(`${result.tasks.length} CUDA processes, ${result.imageBytes} bytes in ${imagesDir}`);
}

if (values.pid === undefined || values['images-dir'] === undefined) {
  console.error('--pid and --images-dir are required');
  process.exitCode = 2;
} else {
  await main(Number(values.pid), values['images-dir'], values.variant).catch((error) => {
    console.error(describeError(error));
    process.exitCode = 1;
  });
}
