// SPDX-License-Identifier: MIT
/** The storm of real processes, small: every node gets the registry's bytes, from where the model says. */
import { expect, it } from 'vitest';
import { measureStorm } from '../../../benchmarks/storm/real/measure.ts';
import { execResult } from '../../../lib/exec.ts';

const MIB = 2 ** 20;

/** Why there can be no network namespaces with links of a known rate here. */
async function missing(): Promise<string | undefined> {
  const script =
    'ip link add name storm0 type veth peer name storm1 && tc qdisc add dev storm0 root tbf rate 1mbit burst 9kb latency 1s';
  const { exitCode, stderr } = await execResult('unshare', ['--net', 'sh', '-c', script]);
  return exitCode === 0 ? undefined : `a link with a rate cannot be created here: ${stderr.trim()}`;
}

it('of three nodes moves the bytes that the model moves', async (context) => {
  const reason = await missing();
  if (reason !== undefined) return context.skip(reason);
  const compared = await measureStorm({
    ...{ imageBytes: 4 * MIB + 1000, chunkBytes: MIB / 8, window: 8, fanOut: 2 },
    ...{ nodeBitsPerS: 200e6, registryBitsPerS: 100e6 },
    cases: [
      { policy: 'registry', nodes: 3 },
      { policy: 'peer', nodes: 3 },
    ],
  });
  const image = 4 * MIB + 1000;
  expect(compared).toMatchObject([
    { policy: 'registry', registryBytes: 3 * image, peerBytes: 0 },
    { policy: 'peer', registryBytes: image, peerBytes: 2 * image },
  ]);
  for (const one of compared) {
    expect(one.predictedRegistryBytes).toBe(one.registryBytes);
    expect(one.predictedPeerBytes).toBe(one.peerBytes);
    // a link cannot carry more than its rate, whatever else the machine does
    expect(one.measuredS).toBeGreaterThan((one.registryBytes * 8) / 110e6);
  }
});
