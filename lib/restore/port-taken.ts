// SPDX-License-Identifier: MIT
/**
 * A port of the checkpoint that another process has: CRIU names only the number of the socket in its images.
 * @module
 */
import { readBoundSocket, type CriuLogSummary } from '../criu/index.ts';
import { describeProcess, findPortOwner } from '../process/index.ts';

const TAKEN = /Can't bind inet socket \(id (\d+)\): Address already in use/;

/** Says which port is taken and by whom; `undefined` if that is not what went wrong. */
async function portTaken(imagesDir: string, log: CriuLogSummary): Promise<string | undefined> {
  const id = log.errors.flatMap((error) => TAKEN.exec(error)?.[1] ?? [])[0];
  const socket = id === undefined ? undefined : readBoundSocket(imagesDir, Number(id));
  if (socket === undefined) return undefined;
  const { protocol, address, port } = socket;
  const name = `${protocol.toUpperCase()} port ${port} (${address})`;
  const owner = findPortOwner(protocol, port);
  if (owner === undefined)
    return `${name} is in use, by a process that this user may not see or by none any more`;
  return `${name} is in use by ${owner} (${await describeProcess(owner)})`;
}

/** The log with a taken port in place of CRIU's words. */
export async function explainPort(imagesDir: string, log: CriuLogSummary): Promise<CriuLogSummary> {
  const message = await portTaken(imagesDir, log);
  if (message === undefined) return log;
  return {
    ...log,
    message,
    hint: 'end the process that has the port, or restore with --isolated-network',
  };
}
