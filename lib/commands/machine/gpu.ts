// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { listGpus, STORAGE_DRIVER_VERSION, type Gpu } from '../../gpu/index.ts';
import { formatBytes, table, type Io } from '../../output.ts';

const orDash = (value: number | string | null): string => (value === null ? '–' : String(value));

function linkText(gpu: Gpu): string {
  if (gpu.linkGeneration === null || gpu.linkWidth === null) return '–';
  const now = `PCIe ${gpu.linkGeneration} x${gpu.linkWidth}`;
  const most = `${orDash(gpu.maxLinkGeneration)} x${orDash(gpu.maxLinkWidth)}`;
  return `${now} (at most ${most})`;
}

function memoryText({ memory }: Gpu): string[] {
  return memory === null ? ['–', '–'] : [formatBytes(memory.totalBytes), formatBytes(memory.freeBytes)];
}

async function show(io: Io): Promise<void> {
  const report = await listGpus();
  io.result(report, () => {
    const rows = report.gpus.map((gpu) => [
      String(gpu.index),
      gpu.uuid,
      gpu.name,
      ...memoryText(gpu),
      orDash(gpu.pciAddress),
      linkText(gpu),
    ]);
    const head = ['', 'UUID', 'name', 'memory', 'free', 'address', 'link'];
    const storage = report.cudaVersion >= STORAGE_DRIVER_VERSION ? ', with custom storage' : '';
    return `driver ${report.driverVersion}${storage}\n${table(head, rows)}`;
  });
}

export function defineGpu(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda gpu', 'criu-cuda gpu --json');
  command.action(() => show(io));
}
