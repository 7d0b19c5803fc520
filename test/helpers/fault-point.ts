// SPDX-License-Identifier: MIT
/** A step of criu, of the plugin's processes or of the pool at which a test does something (`fault_points.c`). */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { testTool } from './parallel.ts';

/**
 * @param dir for the tool's files
 * @param rule ROLE:CALL:NTH:ask:TEXT
 * @param act gets the pid of the process that is at the step, which waits until it has ended
 * @returns the environment of criu
 */
export async function faultPoint(
  dir: string,
  rule: string,
  act: (pid: number) => Promise<void>,
): Promise<Record<string, string>> {
  writeFileSync(join(dir, 'counts'), Buffer.alloc(4096));
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // it was killed
    socket.once('data', (line) => {
      const pid = Number(line.toString().trim().split(' ')[1]);
      act(pid).then(
        () => socket.end('\n'),
        (error: unknown) => socket.destroy(error as Error),
      );
    });
  });
  server.listen(join(dir, 'socket')).unref();
  await once(server, 'listening');
  return { LD_PRELOAD: testTool('fault-points.so'), CCR_FAULT_DIR: dir, CCR_FAULT: rule };
}
