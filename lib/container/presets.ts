// SPDX-License-Identifier: MIT
/**
 * How to start common servers so that they can be checkpointed, quickly and to small images. Each option says what it
 * saves and what it costs.
 * @module
 */
import { UsageError } from '../errors.ts';

/** One setting, with what it is good for. */
export interface PresetPart {
  /** Flags of `podman run`. */
  podman?: readonly string[] | undefined;
  /** Environment variables. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Arguments of the program in the container. */
  args?: readonly string[] | undefined;
  /** What it makes faster or smaller. */
  saves: string;
  /** What it makes slower or larger. */
  costs: string;
  /** What was measured of it, with the source; absent where nothing was. */
  measured?: string | undefined;
}

/** Settings for a kind of server. */
export interface Preset {
  /** The word for it. */
  name: string;
  /** The kind of program it is for. */
  use: string;
  /** What it consists of. */
  parts: readonly PresetPart[];
}

const hostNetwork: PresetPart = {
  podman: ['--network', 'host'],
  saves: 'a network namespace to dump and restore',
  costs: 'the server listens on the host; one container per port',
};

const presetList: readonly Preset[] = [
  { name: 'plain', use: 'any program, unchanged', parts: [] },
  { name: 'python-server', use: 'your own asyncio servers', parts: [hostNetwork] },
  {
    name: 'vllm',
    use: "vLLM's OpenAI server; your arguments after -- override these",
    parts: [
      hostNetwork,
      {
        args: ['--gpu-memory-utilization', '0.30'],
        saves:
          'the KV cache, which takes the rest of this share; the part of it that was never used is not in the image',
        costs: 'fewer tokens in flight; the weights must fit in this share, too',
        measured:
          '0.004 s of a restore per GiB of cache that was not used (H200, 8 B: 1.10 s for 0.25, 1.47 s for 0.90; docs/vllm.md), 0.023 s per GiB that was (docs/performance.md)',
      },
      {
        args: ['--max-model-len', '1024'],
        saves:
          'a larger share: vLLM does not start with a KV cache that is too small for one context of this length',
        costs: 'longer prompts are refused',
        measured:
          'nothing else: 1,024 and 4,096 with the same KV cache give the same image, 6.4 GiB, and restore, 0.95 and 0.92 s (H200, 1.5 B; docs/vllm.md)',
      },
      {
        args: ['--enforce-eager'],
        saves: 'CUDA graphs, their memory, and the time of their capture at the cold start',
        costs: 'slower decoding, most for small batches',
        measured:
          '24 of 123 s of the cold start; nothing of a dump, an image or a restore (H200, 8 B: 1.01 s with it, 1.00 s without; docs/vllm.md)',
      },
      {
        env: { VLLM_NO_USAGE_STATS: '1', DO_NOT_TRACK: '1' },
        saves: 'an outgoing TCP connection, which CRIU would have to restore',
        costs: "no usage statistics for vLLM's authors",
      },
      {
        env: { NCCL_NVLS_ENABLE: '0', NCCL_CUMEM_HOST_ENABLE: '0' },
        saves: 'with several GPUs: multicast objects, and host memory of the driver, which cannot be dumped',
        costs: 'all-reduce without NVLink SHARP, where the machine has it',
      },
      {
        env: { TORCH_NCCL_ENABLE_MONITORING: '0', TORCH_NCCL_DUMP_ON_TIMEOUT: '0' },
        saves: 'with several GPUs: an abort by a monitor thread that takes the pause of a dump for a hang',
        costs: 'a collective that really hangs is reported by its timeout alone',
      },
    ],
  },
];

export const presetNames: readonly string[] = presetList.map(({ name }) => name);

/** How to start common servers, and what each option saves and costs. */
export function listPresets(): readonly Preset[] {
  return presetList;
}

/** @throws {@link UsageError} naming the presets that exist */
export function findPreset(name: string): Preset {
  const preset = presetList.find((one) => one.name === name);
  if (preset) return preset;
  throw new UsageError(`there is no preset "${name}"`, `presets: ${presetNames.join(', ')}`);
}

/** An option as typed on a command line. */
export function partText({ podman = [], env = {}, args = [] }: PresetPart): string {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  return [...podman, ...variables, ...args].join(' ');
}
