// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { memoryText, memoryWarnings, parseOpStatus, type OpStatus } from '../../../lib/criu/index.ts';

function parse(stage: 'dump' | 'restore', ...lines: string[]): OpStatus {
  const begin = `{"event":"begin","stage":"${stage}","criu":7,"version":"1","variant":"full","plugin":"/p/cuda_plugin.so"}`;
  const status = parseOpStatus([begin, ...lines, ''].join('\n'));
  if (!status) throw new Error('no status');
  return status;
}

const memory = (fields = ''): string =>
  `{"event":"memory","pid":5,"driver_bytes":1048576,"page_bytes":2097152,"criu_bytes":4096,"reason":"${fields}"}`;
const copy = '"by":"daemon","bytes":3145728,"streams":2,"chunk_mb":4,"asked_streams":8,"asked_chunk_mb":16';
const evict = `{"event":"evict","pid":5,"result":0,${copy}}`;

it('a dump says what the pool, the page file and CRIU have', () => {
  const status = parse('dump', evict, memory());
  expect(status.plugin).toBe('/p/cuda_plugin.so');
  expect(status.memory).toEqual([
    {
      pid: 5,
      pool: {
        by: 'daemon',
        bytes: 3145728,
        isDrivers: false,
        source: undefined,
        streams: 2,
        chunkMb: 4,
        askedStreams: 8,
        askedChunkMb: 16,
      },
      isPending: false,
      reason: undefined,
      driverBytes: 1048576,
      pageFileBytes: 2097152,
      criuBytes: 4096,
    },
  ]);
  expect(memoryText(status.memory)).toEqual([
    "memory of 5: pool 3 MiB by the daemon (2 streams, chunks of 4 MiB), driver 1 MiB, page file 2 MiB, CRIU's images 4 KiB",
  ]);
  expect(memoryWarnings(status.memory, status.fallbacks)).toEqual([
    'the daemon uses 2 streams, not 8 and chunks of 4 MiB, not 16: it was started with no more; start it again with these settings',
  ]);
});

it('a dump says what the device found to be zero, or why it did not look', () => {
  const text = (fields: string): string =>
    memoryText(parse('dump', evict.replace('}', `,${fields}}`), memory()).memory)
      .join()
      .replace(/, driver.*/, '');
  expect(text('"scan_zero_bytes":2097152,"scan_ms":1.5')).toBe(
    'memory of 5: pool 3 MiB by the daemon (2 streams, chunks of 4 MiB, 2 MiB of zeroes not copied)',
  );
  expect(
    text('"scan_zero_bytes":0,"scan_ms":1.5,"scan_error":"device 0: cuLaunchKernel: CUDA_ERROR_UNKNOWN"'),
  ).toBe(
    'memory of 5: pool 3 MiB by the daemon (2 streams, chunks of 4 MiB, zeroes were copied: device 0: cuLaunchKernel: CUDA_ERROR_UNKNOWN)',
  );
});

it('a dump says what an earlier checkpoint has, and what of it is not used', () => {
  const status = (fields: string): ReturnType<typeof parse> =>
    parse('dump', evict.replace('}', `,${fields}}`), memory());
  const text = (fields: string): string =>
    memoryText(status(fields).memory)
      .join()
      .replace(/, driver.*/, '');
  const warnings = (fields: string): string[] =>
    memoryWarnings(status(fields).memory, []).filter((one) => one.includes('earlier'));
  expect(text('"reused_bytes":2097152')).toBe(
    'memory of 5: pool 3 MiB by the daemon (2 streams, chunks of 4 MiB, 2 MiB in the earlier checkpoint)',
  );
  expect(warnings('"reused_bytes":2097152')).toEqual([]);
  expect(warnings('"reused_bytes":2097152,"reuse_error":"the earlier cuda-5-0.img is damaged"')).toEqual([
    'a part of the earlier checkpoint of 5 is not used: the earlier cuda-5-0.img is damaged',
  ]);
  expect(warnings('"reused_bytes":0,"reuse_error":"cuda-5.img: it has none of the memory"')).toEqual([
    'nothing of the earlier checkpoint of 5 is used: cuda-5.img: it has none of the memory',
  ]);
});

it('a restore says where the pool had the memory', () => {
  const attach = (source: string): string =>
    `{"event":"attach","pid":5,"result":0,"by":"daemon","bytes":3145728,"source":"${source}","ms":1,"reason":""}`;
  const texts = ['files', 'resident', 'golden'].map((source) =>
    memoryText(parse('restore', memory(), attach(source)).memory).join(),
  );
  expect(texts.map((text) => text.replace(/, driver.*/, ''))).toEqual([
    'memory of 5: pool 3 MiB by the daemon',
    'memory of 5: pool 3 MiB by the daemon (resident)',
    'memory of 5: pool 3 MiB by the daemon (golden)',
  ]);
});

it('a standby has not taken its memory yet', () => {
  const attaching = '{"event":"attaching","pid":5,"operation":1}';
  const status = parse('restore', memory(), attaching);
  expect(status.memory).toMatchObject([{ pool: undefined, isPending: true }]);
  expect(memoryText(status.memory)[0]).toContain(
    'memory of 5: device memory still in the pool, driver 1 MiB',
  );
});

it('a dump that was rolled back does not count what the pool gave back', () => {
  const back =
    '{"event":"attach","pid":5,"result":0,"by":"helper","bytes":3145728,"source":"held","ms":1,"reason":""}';
  expect(parse('dump', memory('it has no interceptor'), back).memory[0]).toMatchObject({
    pool: undefined,
    reason: 'it has no interceptor',
  });
});

it('says when the driver has handed the memory over', () => {
  const status = parse('dump', evict.replace('"by"', '"storage":true,"by"'), memory());
  expect(status.memory[0]?.pool?.isDrivers).toBe(true);
  expect(memoryText(status.memory)[0]).toContain('pool 3 MiB from the driver by the daemon');
});

it("a failed copy is not the process's memory", () => {
  const failed = `{"event":"evict","pid":5,"result":-5,${copy}}`;
  expect(parse('dump', failed, memory()).memory[0]?.pool).toBeUndefined();
});

it('what took the place of something else is a warning', () => {
  const status = parse(
    'dump',
    '{"event":"fallback","pid":0,"from":"daemon","to":"helper","reason":"it has ended"}',
    '{"event":"fallback","pid":5,"from":"helper","to":"driver","reason":"no device"}',
    memory('the pool could not take it'),
  );
  expect(memoryWarnings(status.memory, status.fallbacks)).toEqual([
    'device memory is moved by a helper instead of the daemon: it has ended',
    'device memory of 5 is moved by the driver instead of the helper: no device',
  ]);
});
