// SPDX-License-Identifier: MIT
/**
 * NVIDIA: devices, kernel module, user-space driver, persistence mode. CUDA is not initialized.
 * @module
 */
import { EnvironmentError } from '../errors.ts';
import {
  isSoftwareDriver,
  openDriver,
  softcudaRemedy,
  STORAGE_DRIVER_VERSION,
  type CheckpointDriver,
} from '../gpu/index.ts';
import { formatCudaVersion } from '../output.ts';
import { softcudaLibrary } from '../paths.ts';
import {
  ask,
  isThere,
  listNames,
  readText,
  type MachineCheck,
  type CheckFunction,
  type Machine,
} from './check.ts';

const OLDEST_DRIVER = 570;
const NVIDIA_VENDOR = '0x10de';

/** PCI devices that are NVIDIA display or 3D controllers. */
function pciGpus(machine: Machine): string[] {
  const devices = 'sys/bus/pci/devices';
  return listNames(machine, devices).filter(
    (name) =>
      readText(machine, `${devices}/${name}/vendor`) === NVIDIA_VENDOR &&
      (readText(machine, `${devices}/${name}/class`) ?? '').startsWith('0x03'),
  );
}

interface Gpu {
  model: string;
  uuid: string;
  bus: string;
}

function driverGpus(machine: Machine): Gpu[] {
  const gpus = 'proc/driver/nvidia/gpus';
  return listNames(machine, gpus).map((bus) => {
    const text = readText(machine, `${gpus}/${bus}/information`) ?? '';
    const field = (name: string): string =>
      new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(text)?.[1] ?? 'unknown';
    return { model: field('Model'), uuid: field('GPU UUID'), bus };
  });
}

/** Version of the loaded kernel module, such as `580.159.04`. */
function moduleVersion(machine: Machine): string | undefined {
  return /Kernel Module(?: for \S+)?\s+([\d.]+)/.exec(
    readText(machine, 'proc/driver/nvidia/version') ?? '',
  )?.[1];
}

/** True when a program could reach an NVIDIA GPU here, or should be able to. */
function hasGpu(machine: Machine): boolean {
  return (
    isThere(machine, 'proc/driver/nvidia/gpus') ||
    isThere(machine, 'dev/nvidiactl') ||
    pciGpus(machine).length > 0
  );
}

function checkDevices(machine: Machine): MachineCheck {
  const gpus = driverGpus(machine);
  const base = { id: 'gpu', title: 'GPU' };
  if (gpus.length > 0) {
    const found = gpus.map((gpu) => `${gpu.model} (${gpu.uuid})`).join('\n');
    return { ...base, status: 'ok', found };
  }
  const pci = pciGpus(machine);
  if (pci.length > 0) {
    return {
      ...base,
      status: 'missing',
      found: `${pci.length} NVIDIA device(s) at ${pci.join(', ')}, but no kernel module`,
      remedy: `install and load the NVIDIA driver, ${OLDEST_DRIVER} or newer`,
    };
  }
  return {
    ...base,
    status: 'warning',
    found: 'none',
    remedy: 'only the software driver can be used here; criu-cuda demo runs on it',
  };
}

function checkModule(machine: Machine): MachineCheck[] {
  const version = moduleVersion(machine);
  if (version === undefined) return [];
  const base = { id: 'nvidia-module', title: 'NVIDIA kernel module' };
  if (Number.parseInt(version, 10) >= OLDEST_DRIVER) return [{ ...base, status: 'ok', found: version }];
  return [
    {
      ...base,
      status: 'broken',
      found: `${version} cannot checkpoint processes`,
      remedy: `install the NVIDIA driver, ${OLDEST_DRIVER} or newer`,
    },
  ];
}

/** The driver hands memory over, so that programs need no interceptor. */
const hasStorage = (driver: CheckpointDriver): boolean => driver.version >= STORAGE_DRIVER_VERSION;

function cudaVersion(driver: CheckpointDriver): string {
  return `CUDA ${formatCudaVersion(driver.version)}`;
}

async function checkLibrary(machine: Machine): Promise<MachineCheck> {
  const base = { id: 'cuda-driver', title: 'CUDA driver' };
  const named = machine.settings instanceof Error ? '' : machine.settings.settings.CRIU_CUDA_DRIVER;
  try {
    const driver = await openDriver(
      machine.settings instanceof Error ? { path: '' } : { env: machine.system.env },
    );
    const software = isSoftwareDriver(driver.path);
    return {
      ...base,
      status: 'ok',
      found: `${driver.path}, ${cudaVersion(driver)}, has the checkpoint calls${hasStorage(driver) ? ' and custom storage' : ''}${software ? '; it is the software driver' : ''}`,
    };
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    // without a GPU a driver is optional, but one that was named must work
    const expected = named !== '' || hasGpu(machine);
    const absent = error.missing.some(({ what }) => what === 'libcuda.so.1');
    return {
      ...base,
      status: !expected ? 'warning' : absent ? 'missing' : 'broken',
      found: error.message,
      remedy: expected
        ? error.missing.map(({ remedy }) => remedy).join('; ')
        : `none is needed without a GPU${softcudaRemedy(softcudaLibrary(machine.system.env))}`,
    };
  }
}

async function checkModes(machine: Machine): Promise<MachineCheck[]> {
  if (driverGpus(machine).length === 0) return [];
  const base = { id: 'persistence', title: 'persistence mode' };
  const query = '--query-gpu=index,persistence_mode,mig.mode.current';
  const answer = await ask(machine, 'nvidia-smi', [query, '--format=csv,noheader']);
  if (answer?.exitCode !== 0) {
    return [
      {
        ...base,
        status: 'warning',
        found: 'unknown: nvidia-smi is missing or does not answer',
        remedy: 'install nvidia-smi, or make sure that nvidia-persistenced is running',
      },
    ];
  }
  const gpus = answer.stdout.split('\n').map((line) => line.split(',').map((cell) => cell.trim()));
  const off = gpus.filter(([, persistence]) => persistence !== 'Enabled').map(([index]) => index ?? '');
  const mig = gpus.filter(([, , mode]) => mode === 'Enabled').map(([index]) => index ?? '');
  const persistence: MachineCheck =
    off.length === 0
      ? { ...base, status: 'ok', found: 'on' }
      : {
          ...base,
          status: 'warning',
          found: `off on GPU ${off.join(', ')}`,
          remedy: 'run nvidia-smi -pm 1; otherwise each restore waits until the GPU is initialized, or fails',
        };
  if (mig.length === 0) return [persistence];
  return [
    persistence,
    {
      id: 'mig',
      title: 'MIG',
      status: 'broken',
      found: `on for GPU ${mig.join(', ')}`,
      remedy: 'the driver cannot checkpoint processes on MIG devices: use GPUs without MIG',
    },
  ];
}

export const checkGpu: CheckFunction = async (machine) => [
  checkDevices(machine),
  ...checkModule(machine),
  await checkLibrary(machine),
  ...(await checkModes(machine)),
];
