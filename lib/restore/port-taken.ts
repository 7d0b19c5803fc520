// SPDX-License-Identifier: MIT
/**
 * A port of the checkpoint that another process has: CRIU names only the number of the socket in its images.
 * @module
 */
import {
  addressText,
  readBoundSocket,
  readListening,
  type BoundSocket,
  type CriuLogSummary,
} from '../criu/index.ts';
import {
  describeProcess,
  findPortOwner,
  findSocketOwner,
  keptPorts,
  readTcpSockets,
  type PortEntry,
} from '../process/index.ts';
import { execResult } from '../exec.ts';
import { builtProgram } from '../paths.ts';
import { RestoreError } from './error.ts';

const TAKEN = /Can't bind inet socket \(id (\d+)\): Address already in use/;

const takenHint = 'end the process that has the port, or restore with --isolated-network';

const portName = ({ protocol, address, port }: BoundSocket): string =>
  `${protocol.toUpperCase()} port ${port} (${address})`;

const anyAddress = new Set(['0.0.0.0', '[0:0:0:0:0:0:0:0]']);

/** Whether two sockets of the same port are in each other's way; of two families, the kernel knows better. */
function overlaps(address: string, { words }: PortEntry): boolean {
  const other = addressText(words);
  if (address === other) return true;
  const isSameFamily = address.startsWith('[') === other.startsWith('[');
  return isSameFamily && (anyAddress.has(address) || anyAddress.has(other));
}

/**
 * Checks that nobody listens on a TCP port of the checkpoint.
 * @param own pids of the checkpoint: a process that has one is named for that already
 * @returns those of its ports that the kernel keeps, for {@link freeKeptPorts}
 * @throws {@link RestoreError} ERR_RESTORE_PORT_TAKEN with every port and its owner
 */
export async function checkPortsFree(imagesDir: string, own: readonly number[]): Promise<number[]> {
  const listening = readListening(imagesDir);
  if (listening.length === 0) return [];
  const { boundTo, kept } = await readTcpSockets();
  const taken = new Map<string, number | undefined>();
  for (const socket of listening.filter(({ sharesPort }) => !sharesPort)) {
    const others = boundTo(socket.port).filter((other) => overlaps(socket.address, other));
    const owner = findSocketOwner(others);
    if (others.length > 0 && (owner === undefined || !own.includes(owner)))
      taken.set(portName(socket), owner);
  }
  if (taken.size === 0)
    return [...new Set(listening.map(({ port }) => port))].filter((port) => kept.has(port));
  const texts = [...taken].map(async ([name, owner]) =>
    owner === undefined
      ? `${name} is in use, by a process that cannot be seen from here (another user, another PID namespace)`
      : `${name} is in use by ${owner} (${await describeProcess(owner)})`,
  );
  throw new RestoreError('ERR_RESTORE_PORT_TAKEN', (await Promise.all(texts)).join('; '), {
    hint: takenHint,
  });
}

/**
 * The kernel keeps the port of a connection for up to a minute after the program has closed it. Nobody can listen there
 * again, unless the program had set SO_REUSEADDR, which NCCL for example does not. So we end what is kept of ports at which
 * the checkpoint listens; where that is not possible, CRIU fails, and the error says why.
 */
export async function freeKeptPorts(ports: readonly number[]): Promise<void> {
  if (ports.length === 0) return;
  await execResult(builtProgram('ccr-free-ports'), ports.map(String)).catch(() => undefined);
}

const keptHint = 'restore again in a minute, or with --isolated-network';

/** Says which port is taken and by whom; `undefined` if that is not what went wrong. */
async function portTaken(
  imagesDir: string,
  log: CriuLogSummary,
): Promise<{ message: string; hint: string } | undefined> {
  const id = log.errors.flatMap((error) => TAKEN.exec(error)?.[1] ?? [])[0];
  const socket = id === undefined ? undefined : readBoundSocket(imagesDir, Number(id));
  if (socket === undefined) return undefined;
  const { protocol, port } = socket;
  const name = portName(socket);
  const owner = findPortOwner(protocol, port);
  if (owner !== undefined) {
    const message = `${name} is in use by ${owner} (${await describeProcess(owner)})`;
    return { message, hint: takenHint };
  }
  if (protocol === 'tcp' && keptPorts().has(port)) {
    const message = `${name} is kept by the kernel for up to a minute after a connection has ended`;
    return { message, hint: keptHint };
  }
  const message = `${name} is in use, by a process that cannot be seen from here (another user, another PID namespace), or by none any more`;
  return { message, hint: takenHint };
}

/** The log with a taken port in place of CRIU's words. */
export async function explainPort(imagesDir: string, log: CriuLogSummary): Promise<CriuLogSummary> {
  return { ...log, ...(await portTaken(imagesDir, log)) };
}
