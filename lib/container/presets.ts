// SPDX-License-Identifier: MIT
/**
 * How to start common servers so that their checkpoints are small, quick and
 * possible at all; each part says what it saves and what it costs.
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
}

/** Settings for a kind of server. */
export interface Preset {
  /** The word for it. */
  name: string;
  /** For what kind of program. */
  use: string;
  /** What it consists of. */
  parts: readonly PresetPart[];
}

const hostNetwork: PresetPart = {
  podman: ['--network', 'host'],
  saves: 'no network namespace to dump and to build up again',
  costs: 'the server listens on the host; one container per port',
};

/** CRIU cannot dump an io_uring; asyncio, uvloop and libuv take epoll or select without one. */
const withoutUring: PresetPart = {
  env: {
    ASYNCIO_DEFAULT_BACKEND: 'select',
    PYTHON_ASYNCIO_NO_IO_URING: '1',
    UV_USE_IO_URING: '0',
  },
  saves: 'the dump itself: CRIU refuses a process with an io_uring',
  costs: 'nothing measurable for a server that waits for a GPU',
};

const presetList: readonly Preset[] = [
  { name: 'plain', use: 'any program; nothing is changed', parts: [] },
  { name: 'python-server', use: 'asyncio servers of your own', parts: [hostNetwork, withoutUring] },
  {
    name: 'vllm',
    use: 'vLLM’s OpenAI server; your own arguments after -- win over these',
    parts: [
      hostNetwork,
      withoutUring,
      {
        args: ['--gpu-memory-utilization', '0.30'],
        saves: 'image size and time in proportion: the KV cache takes what is left of this share',
        costs: 'fewer tokens in flight; the weights have to fit into it too',
      },
      {
        args: ['--max-model-len', '1024'],
        saves: 'KV cache and activation buffers sized for long contexts',
        costs: 'longer prompts are refused',
      },
      {
        args: ['--enforce-eager'],
        saves: 'CUDA graphs, their memory, and the time of their capture at the cold start',
        costs: 'slower decoding, most for small batches',
      },
      {
        args: ['--load-format', 'safetensors'],
        saves: 'weights are mapped instead of unpickled: less private host memory in the image',
        costs: 'the model has to exist in this format',
      },
      {
        env: { VLLM_NO_USAGE_STATS: '1', DO_NOT_TRACK: '1' },
        saves: 'a TCP connection to elsewhere, which CRIU would have to carry over',
        costs: 'vLLM’s authors get no statistics',
      },
    ],
  },
];

export const presetNames: readonly string[] = presetList.map(({ name }) => name);

/** How to start common servers, and what each part saves and costs. */
export function listPresets(): readonly Preset[] {
  return presetList;
}

/** @throws {@link UsageError} naming what there is */
export function findPreset(name: string): Preset {
  const preset = presetList.find((one) => one.name === name);
  if (preset) return preset;
  throw new UsageError(`there is no preset "${name}"`, `presets: ${presetNames.join(', ')}`);
}

/** A part as one would type it. */
export function partText({ podman = [], env = {}, args = [] }: PresetPart): string {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  return [...podman, ...variables, ...args].join(' ');
}
