// SPDX-License-Identifier: MIT
/**
 * NVIDIA: devices, kernel module, user-space driver, persistence mode. Looks
 * only; CUDA is not initialised.
 * @module
 */
import { existsSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';
import { openDriver, type CheckpointDriver } from '../gpu/index.ts';
import { softcudaLibrary } from '../paths.ts';
import {
  ask,
  isThere,
  listNames,
  readText,
  type MachineCheck,
  type Examination,
  type Patient,
} from './check.ts';

const OLDEST_DRIVER = 570;
const NVIDIA_VENDOR = '0x10de';

/** PCI devices that are NVIDIA display or 3D controllers. */
function pciGpus(patient: Patient): string[] {
  const devices = 'sys/bus/pci/devices';
  return listNames(patient, devices).filter(
    (name) =>
      readText(patient, `${devices}/${name}/vendor`) === NVIDIA_VENDOR &&
      (readText(patient, `${devices}/${name}/class`) ?? '').startsWith('0x03'),
  );
}

interface Gpu {
  model: string;
  uuid: string;
  bus: string;
}

function driverGpus(patient: Patient): Gpu[] {
  const gpus = 'proc/driver/nvidia/gpus';
  return listNames(patient, gpus).map((bus) => {
    const text = readText(patient, `${gpus}/${bus}/information`) ?? '';
    const field = (name: string): string =>
      new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(text)?.[1] ?? 'unknown';
    return { model: field('Model'), uuid: field('GPU UUID'), bus };
  });
}

/** `580.159.04` of the kernel module that is loaded. */
function moduleVersion(patient: Patient): string | undefined {
  return /Kernel Module(?: for \S+)?\s+([\d.]+)/.exec(
    readText(patient, 'proc/driver/nvidia/version') ?? '',
  )?.[1];
}

/** True when a program could reach an NVIDIA GPU here, or should be able to. */
function hasGpu(patient: Patient): boolean {
  return (
    isThere(patient, 'proc/driver/nvidia/gpus') ||
    isThere(patient, 'dev/nvidiactl') ||
    pciGpus(patient).length > 0
  );
}

function examineDevices(patient: Patient): MachineCheck {
  const gpus = driverGpus(patient);
  const base = { id: 'gpu', title: 'GPU' };
  if (gpus.length > 0) {
    const found = gpus.map((gpu) => `${gpu.model} (${gpu.uuid})`).join('\n');
    return { ...base, status: 'ok', found };
  }
  const pci = pciGpus(patient);
  if (pci.length > 0) {
    return {
      ...base,
      status: 'missing',
      found: `${pci.length} NVIDIA device(s) at ${pci.join(', ')}, no kernel module for them`,
      remedy: `install and load the NVIDIA driver, ${OLDEST_DRIVER} or newer`,
    };
  }
  return {
    ...base,
    status: 'warning',
    found: 'none',
    remedy: 'only the software CUDA driver can be used here: criu-cuda demo runs on it',
  };
}

function examineModule(patient: Patient): MachineCheck[] {
  const version = moduleVersion(patient);
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

function cudaVersion(driver: CheckpointDriver): string {
  return `CUDA ${Math.floor(driver.version / 1000)}.${Math.floor((driver.version % 1000) / 10)}`;
}

function softwareHint(patient: Patient): string {
  const library = softcudaLibrary(patient.system.env);
  return existsSync(library) ? `; for the software driver set CRIU_CUDA_DRIVER to ${library}` : '';
}

async function examineLibrary(patient: Patient): Promise<MachineCheck> {
  const base = { id: 'cuda-driver', title: 'CUDA driver' };
  const named = patient.settings instanceof Error ? '' : patient.settings.settings.CRIU_CUDA_DRIVER;
  try {
    const driver = await openDriver(
      patient.settings instanceof Error ? { path: '' } : { env: patient.system.env },
    );
    const software = driver.path.includes('/softcuda/') || named === softcudaLibrary(patient.system.env);
    return {
      ...base,
      status: 'ok',
      found: `${driver.path}, ${cudaVersion(driver)}, has the checkpoint calls${software ? '; it is the software driver' : ''}`,
    };
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    // without a GPU nobody expects a driver; one that was named has to work
    const expected = named !== '' || hasGpu(patient);
    const absent = error.missing.some(({ what }) => what === 'libcuda.so.1');
    return {
      ...base,
      status: !expected ? 'warning' : absent ? 'missing' : 'broken',
      found: error.message,
      remedy: expected
        ? error.missing.map(({ remedy }) => remedy).join('; ')
        : `none is needed without a GPU${softwareHint(patient)}`,
    };
  }
}

async function examineModes(patient: Patient): Promise<MachineCheck[]> {
  if (driverGpus(patient).length === 0) return [];
  const base = { id: 'persistence', title: 'persistence mode' };
  const query = '--query-gpu=index,persistence_mode,mig.mode.current';
  const answer = await ask(patient, 'nvidia-smi', [query, '--format=csv,noheader']);
  if (answer?.exitCode !== 0) {
    return [
      {
        ...base,
        status: 'warning',
        found: 'unknown: nvidia-smi is not there or does not answer',
        remedy: 'install nvidia-smi, or make sure that nvidia-persistenced runs',
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
          remedy: 'nvidia-smi -pm 1: else each restore waits for the GPU to be initialised, or fails',
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

export const examineGpu: Examination = async (patient) => [
  examineDevices(patient),
  ...examineModule(patient),
  await examineLibrary(patient),
  ...(await examineModes(patient)),
];
