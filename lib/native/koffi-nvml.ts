// SPDX-License-Identifier: MIT
/**
 * GPUs and the processes on them through koffi; native/nvml_query.cc is the addon's side.
 * @module
 */
import {
  NVML_ERROR_INSUFFICIENT_SIZE,
  NVML_ERROR_NOT_SUPPORTED,
  NVML_SUCCESS,
  nvmlFunctions,
} from './abi.ts';
import { nativeFailure } from './errors.ts';
import type { Functions, Loader } from './koffi-loader.ts';
import type { Backend, Gpu, GpuProcess } from './types.ts';

type Name = keyof typeof nvmlFunctions;
type LinkName = Extract<Name, `${string}PcieLink${string}`>;

interface Nvml {
  path: string;
  call: Functions<Name>;
}

/** What koffi makes of nvmlDevice_t. */
type Device = bigint;

const TEXT_BYTES = 96;
const ALL_BITS = 2n ** 64n - 1n;
/** Of an instance, outside MIG. */
const NO_INSTANCE = 2 ** 32 - 1;

function openFirst(loader: Loader, libraries: readonly string[]): Nvml {
  let reason = '';
  for (const path of libraries) {
    const opened = loader.open(path);
    if (typeof opened !== 'string') {
      const fail = (missing: string) => nativeFailure('open', `${path} has no ${missing}`);
      return { path, call: loader.bind(opened, nvmlFunctions, fail) };
    }
    reason ||= opened; // the others are guesses
  }
  throw nativeFailure('open', reason);
}

async function check(nvml: Nvml, name: Name, ...args: unknown[]): Promise<void> {
  const result = await nvml.call[name](...args);
  if (result !== NVML_SUCCESS) throw nativeFailure('nvml', name, name, result);
}

async function readText(
  nvml: Nvml,
  name: 'nvmlSystemGetDriverVersion' | 'nvmlDeviceGetUUID' | 'nvmlDeviceGetName',
  ...device: Device[]
): Promise<string> {
  const text = Buffer.alloc(TEXT_BYTES);
  await check(nvml, name, ...device, text, TEXT_BYTES);
  return text.toString('utf8', 0, text.indexOf(0));
}

async function readNumber(
  nvml: Nvml,
  name: 'nvmlDeviceGetCount_v2' | 'nvmlSystemGetCudaDriverVersion_v2',
): Promise<number> {
  const value: [number] = [0];
  await check(nvml, name, value);
  return value[0];
}

async function devicesOf(nvml: Nvml): Promise<Device[]> {
  const count = await readNumber(nvml, 'nvmlDeviceGetCount_v2');
  const devices: Device[] = [];
  for (let index = 0; index < count; index += 1) {
    const device: [Device] = [0n];
    await check(nvml, 'nvmlDeviceGetHandleByIndex_v2', index, device);
    devices.push(device[0]);
  }
  return devices;
}

async function readLink(nvml: Nvml, name: LinkName, device: Device): Promise<number | null> {
  const value: [number] = [0];
  const result = await nvml.call[name](device, value);
  return result === NVML_SUCCESS && value[0] !== 0 ? value[0] : null;
}

async function readMemory(nvml: Nvml, device: Device): Promise<Gpu['memory']> {
  const memory: Record<'total' | 'free' | 'used', number | bigint> = { total: 0, free: 0, used: 0 };
  const result = await nvml.call.nvmlDeviceGetMemoryInfo(device, memory);
  if (result === NVML_ERROR_NOT_SUPPORTED) return null; // integrated GPUs share the host's memory
  if (result !== NVML_SUCCESS) {
    throw nativeFailure('nvml', 'nvmlDeviceGetMemoryInfo', 'nvmlDeviceGetMemoryInfo', result);
  }
  return {
    totalBytes: Number(memory.total),
    freeBytes: Number(memory.free),
    usedBytes: Number(memory.used),
  };
}

/** As the kernel names devices: four digits of domain, lower case. */
async function readAddress(nvml: Nvml, target: Device): Promise<string | null> {
  const pci = { domain: 0, bus: 0, device: 0 };
  if ((await nvml.call.nvmlDeviceGetPciInfo_v3(target, pci)) !== NVML_SUCCESS) return null;
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${hex(pci.domain, 4)}:${hex(pci.bus, 2)}:${hex(pci.device, 2)}.0`;
}

async function readGpu(nvml: Nvml, index: number, device: Device): Promise<Gpu> {
  return {
    index,
    uuid: await readText(nvml, 'nvmlDeviceGetUUID', device),
    name: await readText(nvml, 'nvmlDeviceGetName', device),
    memory: await readMemory(nvml, device),
    pciAddress: await readAddress(nvml, device),
    linkGeneration: await readLink(nvml, 'nvmlDeviceGetCurrPcieLinkGeneration', device),
    linkWidth: await readLink(nvml, 'nvmlDeviceGetCurrPcieLinkWidth', device),
    maxLinkGeneration: await readLink(nvml, 'nvmlDeviceGetMaxPcieLinkGeneration', device),
    maxLinkWidth: await readLink(nvml, 'nvmlDeviceGetMaxPcieLinkWidth', device),
  };
}

function processReader(loader: Loader): (nvml: Nvml, device: Device) => Promise<GpuProcess[]> {
  const { koffi } = loader;
  const info = loader.type('nvmlProcessInfo_t');
  const size = koffi.sizeof(info);
  const pidAt = koffi.offsetof(info, 'pid');
  const usedAt = koffi.offsetof(info, 'usedGpuMemory');
  const idAt = (
    infos: Buffer,
    index: number,
    field: 'gpuInstanceId' | 'computeInstanceId',
  ): number | null => {
    const id = infos.readUInt32LE(index * size + koffi.offsetof(info, field));
    return id === NO_INSTANCE ? null : id;
  };
  return async (nvml, device) => {
    const deviceUuid = await readText(nvml, 'nvmlDeviceGetUUID', device);
    const name = 'nvmlDeviceGetComputeRunningProcesses_v3';
    // processes come and go between two calls: asked again until they fit
    for (let room = 16; ;) {
      const count = new Uint32Array([room]);
      const infos = Buffer.alloc(room * size);
      const result = await nvml.call[name](device, count, infos);
      const [found = 0] = count;
      if (result === NVML_ERROR_INSUFFICIENT_SIZE) {
        room = 2 * found + 16;
        continue;
      }
      if (result !== NVML_SUCCESS) throw nativeFailure('nvml', name, name, result);
      return Array.from({ length: found }, (_, index) => {
        const used = infos.readBigUInt64LE(index * size + usedAt);
        return {
          pid: infos.readUInt32LE(index * size + pidAt),
          deviceUuid,
          usedBytes: used === ALL_BITS ? null : Number(used),
          gpuInstanceId: idAt(infos, index, 'gpuInstanceId'),
          computeInstanceId: idAt(infos, index, 'computeInstanceId'),
        };
      });
    }
  };
}

/** Initializes each NVML once, at its first use; it stays open. */
export function koffiNvml(loader: Loader): Pick<Backend, 'listGpus' | 'listGpuProcesses'> {
  const opened = new Map<string, Nvml>();
  const open = async (libraries: readonly string[]): Promise<Nvml> => {
    const key = libraries.join('\n');
    const known = opened.get(key);
    if (known) return known;
    const nvml = openFirst(loader, libraries);
    await check(nvml, 'nvmlInit_v2');
    opened.set(key, nvml);
    return nvml;
  };
  const readProcesses = processReader(loader);
  return {
    listGpus: async (libraries) => {
      const nvml = await open(libraries);
      const driverVersion = await readText(nvml, 'nvmlSystemGetDriverVersion');
      const cudaVersion = await readNumber(nvml, 'nvmlSystemGetCudaDriverVersion_v2');
      const gpus: Gpu[] = [];
      for (const device of await devicesOf(nvml)) gpus.push(await readGpu(nvml, gpus.length, device));
      return { library: nvml.path, driverVersion, cudaVersion, gpus };
    },
    listGpuProcesses: async (libraries) => {
      const nvml = await open(libraries);
      const processes: GpuProcess[] = [];
      for (const device of await devicesOf(nvml)) processes.push(...(await readProcesses(nvml, device)));
      return processes;
    },
  };
}
