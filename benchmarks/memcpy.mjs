// SPDX-License-Identifier: MIT
// How fast data moves between host memory and the device: with the driver's own copy, from ordinary and from pinned
// memory, and with the transfer engine (libcuda_transfer.so) on 1, 2, 4 … threads. Both libraries are called through
// koffi, so nothing has to be compiled.
//
//   node benchmarks/memcpy.mjs --out FILE [--size-mb 1024] [--rounds 10] [--streams 1,2,4,8,16] [--chunk-mb 4]
//     [--device 0]
//
// Every byte that comes back is compared. On the software driver the rates mean nothing, and the output says so.
import { Buffer } from 'node:buffer';
import { writeFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import koffi from 'koffi';
import { openDriver } from '../dist/api/gpu.js';
import { artifactDir } from '../dist/paths.js';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    'size-mb': { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '10' },
    streams: { type: 'string', default: '1,2,4,8,16' },
    'chunk-mb': { type: 'string', default: '4' },
    device: { type: 'string', default: '0' },
  },
});

function fail(message) {
  console.error(message);
  process.exit(2);
}

function wholeNumbers(name, least) {
  const numbers = options[name].split(',').map(Number);
  if (numbers.every((value) => Number.isInteger(value) && value >= least)) return numbers;
  return fail(`--${name} ${options[name]}: not whole numbers of at least ${least}`);
}

const MOST_MIB = 4095; // largest size of a Buffer
if (options.out === undefined) fail('--out FILE is required');
const [sizeMb] = wholeNumbers('size-mb', 1);
if (sizeMb > MOST_MIB) fail(`--size-mb ${sizeMb}: at most ${MOST_MIB}`);
const bytes = sizeMb * 2 ** 20;
const [rounds] = wholeNumbers('rounds', 1);
const [chunkMb] = wholeNumbers('chunk-mb', 1);
const [device] = wholeNumbers('device', 0);

const { path: driverPath, version } = await openDriver(); // says what is missing
const cuda = koffi.load(driverPath);
const engine = koffi.load(join(artifactDir(), 'lib', 'transfer', 'libcuda_transfer.so'));

/** Calls the driver; throws every result but CUDA_SUCCESS. */
function call(prototype) {
  const run = cuda.func(prototype);
  return (...args) => {
    const result = run(...args);
    if (result !== 0) throw new Error(`${prototype}: CUresult ${result}`);
  };
}

const cu = {
  init: call('int cuInit(unsigned int flags)'),
  deviceName: call('int cuDeviceGetName(_Out_ char *name, int length, int device)'),
  retain: call('int cuDevicePrimaryCtxRetain(_Out_ void **context, int device)'),
  setCurrent: call('int cuCtxSetCurrent(void *context)'),
  alloc: call('int cuMemAlloc_v2(_Out_ uint64_t *address, size_t bytes)'),
  free: call('int cuMemFree_v2(uint64_t address)'),
  memset: call('int cuMemsetD8_v2(uint64_t address, unsigned char value, size_t bytes)'),
  synchronize: call('int cuCtxSynchronize()'),
  toDevice: call('int cuMemcpyHtoD_v2(uint64_t address, void *host, size_t bytes)'),
  toHost: call('int cuMemcpyDtoH_v2(void *host, uint64_t address, size_t bytes)'),
  pin: call('int cuMemHostRegister_v2(void *host, size_t bytes, unsigned int flags)'),
  unpin: call('int cuMemHostUnregister(void *host)'),
};

/** Overwrites what was copied before; waits, because the driver does it asynchronously. */
function clear(address) {
  cu.memset(address, 0, bytes);
  cu.synchronize();
}

function seconds(work) {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

const source = Buffer.alloc(bytes);
for (let at = 0; at < bytes; at += 8) source.writeDoubleLE(at + 1, at);
const target = Buffer.alloc(bytes, 0xff); // touches the memory, so that only the copies are measured
const cases = [];

/** Measures one way of copying; `copy(toDevice)` returns seconds. */
function measure(way, streams, address, copy) {
  const samples = { toDevice: [], toHost: [] };
  for (let round = -1; round < rounds; round++) {
    clear(address);
    target.fill(0xff);
    const there = copy(true);
    const back = copy(false);
    if (!target.equals(source)) throw new Error(`${way}: the bytes that came back differ`);
    if (round < 0) continue; // the first copy is a warm-up
    samples.toDevice.push(there);
    samples.toHost.push(back);
  }
  for (const [direction, all] of Object.entries(samples)) {
    cases.push({ way, streams, direction, gbPerSecond: bytes / 1e9 / median(all), seconds: all });
  }
}

function byDriver(way) {
  const address = [0];
  cu.alloc(address, bytes);
  const copy = (toDevice) =>
    seconds(() => (toDevice ? cu.toDevice(address[0], source, bytes) : cu.toHost(target, address[0], bytes)));
  measure(way, 1, address[0], copy);
  cu.free(address[0]);
}

const prefix = 'int cuda_parallel_session_';
const text = '_Out_ char *error, size_t size';
const session = {
  open: engine.func(
    `${prefix}open(_Out_ void **out, str driver, int device, int streams, int chunk, int verify, int io, ${text})`,
  ),
  close: engine.func('void cuda_parallel_session_close(void *session)'),
  allocate: engine.func(`${prefix}allocate(void *session, uint64_t bytes, _Out_ uint64_t *address, ${text})`),
  free: engine.func(`${prefix}free(void *session, uint64_t address, ${text})`),
  copy: engine.func(
    `${prefix}copy(void *session, uint64_t address, void *host, uint64_t bytes, int to_device, _Out_ double *seconds, ${text})`,
  ),
};

/** Calls the engine, whose last two arguments receive a message about a failure. */
function ask(name, ...args) {
  const error = [' '.repeat(256)];
  if (session[name](...args, error, 256) !== 0) throw new Error(`${name}: ${error[0].trim()}`);
}

function byEngine(streams) {
  const opened = [null];
  ask('open', opened, driverPath, device, streams, chunkMb, -1, -1);
  try {
    const address = [0];
    ask('allocate', opened[0], bytes, address);
    const copy = (toDevice) => {
      const took = [0];
      ask('copy', opened[0], address[0], toDevice ? source : target, bytes, toDevice ? 1 : 0, took);
      return took[0];
    };
    measure('engine', streams, address[0], copy);
    ask('free', opened[0], address[0]);
  } finally {
    session.close(opened[0]);
  }
}

cu.init(0);
const name = [' '.repeat(128)];
cu.deviceName(name, 128, device);
const context = [null];
cu.retain(context, device);
cu.setCurrent(context[0]);
byDriver('driver, ordinary memory');
for (const buffer of [source, target]) cu.pin(buffer, bytes, 0);
byDriver('driver, pinned memory');
for (const buffer of [source, target]) cu.unpin(buffer);
for (const streams of wholeNumbers('streams', 1)) byEngine(streams);

const software = name[0].includes('softcuda');
const environment = {
  date: new Date().toISOString(),
  device: name[0],
  software,
  cudaVersion: version,
  kernel: release(),
  cpus: availableParallelism(),
};
writeFileSync(
  options.out,
  `${JSON.stringify({ schemaVersion: 1, environment, bytes, chunkMb, cases }, null, 2)}\n`,
);
if (software) console.log('software driver: the rates mean nothing');
console.log(`${name[0]}, ${sizeMb} MiB, median of ${rounds}, GB/s`);
for (const { way, streams, direction, gbPerSecond } of cases) {
  const label = way === 'engine' ? `engine, ${streams} threads` : way;
  const arrow = direction === 'toDevice' ? 'to the device' : 'to the host';
  console.log(`  ${label.padEnd(24)} ${arrow.padEnd(14)} ${gbPerSecond.toFixed(2)}`);
}
console.log(`written: ${options.out}`);
