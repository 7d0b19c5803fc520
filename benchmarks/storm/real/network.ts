// SPDX-License-Identifier: MIT
/**
 * Hosts as network namespaces on one bridge, each with a link of a rate of its own in both directions. Call it in a network and
 * mount namespace of your own (`unshare --net --mount`): everything ends with the last process in there.
 */
import { execFileSync } from 'node:child_process';

/** What of a link's rate is left for the bytes of a TCP connection: 1448 bytes of data in a frame of 1514. */
export const TCP_SHARE = 1448 / 1514;

/** A host: its namespace is `NAME`, for `ip netns exec NAME`. */
export interface Host {
  name: string;
  address: string;
  /** Bits per second of its link. */
  bitsPerS: number;
}

const run = (file: string, ...args: string[]): void => {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
};

/** Passes frames at a rate. The queue holds 200 ms, so that a connection does not lose what it sends. */
function shape(device: string, bitsPerS: number, namespace?: string): void {
  const inside = namespace === undefined ? [] : ['-netns', namespace];
  const rate = ['tbf', 'rate', `${bitsPerS}bit`, 'burst', '128kb', 'latency', '200ms'];
  run('tc', ...inside, 'qdisc', 'add', 'dev', device, 'root', ...rate);
}

/** Creates the bridge and the hosts. */
export function createNetwork(hosts: readonly Host[]): void {
  run('mount', '-t', 'tmpfs', 'none', '/run');
  run('ip', 'link', 'add', 'storm', 'type', 'bridge');
  run('ip', 'link', 'set', 'storm', 'up');
  for (const [index, { name, address, bitsPerS }] of hosts.entries()) {
    const port = `storm${index}`;
    run('ip', 'netns', 'add', name);
    run('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    run('ip', 'link', 'set', port, 'master', 'storm', 'up');
    run('ip', '-netns', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    run('ip', '-netns', name, 'link', 'set', 'eth0', 'up');
    run('ip', '-netns', name, 'link', 'set', 'lo', 'up');
    shape('eth0', bitsPerS, name);
    shape(port, bitsPerS);
  }
}

/** The words that start a program on a host. */
export const onHost = ({ name }: Host): string[] => ['ip', 'netns', 'exec', name];
