// SPDX-License-Identifier: MIT
// The servers that run.mjs starts, dumps and restores: one row of docs/servers.md each.
//
// A row names the command of its server, its environment, what is asked of it before the dump and after each restore, and how
// its answers are read. PORT in a command, MODELS (a directory with models) and HERE (this directory) are replaced.

const listen = ['--host', '127.0.0.1', '--port', 'PORT'];

const vllm = (model, ...args) => [
  ...['python3', '-m', 'vllm.entrypoints.cli.main', 'serve', `MODELS/${model}`, '--served-model-name', 'm'],
  ...(args.includes('--load-format') ? [] : ['--load-format', 'dummy']),
  ...(args.includes('--max-model-len') ? [] : ['--max-model-len', '2048']),
  ...['--max-num-seqs', '16', ...listen, ...args],
];

const share = (part) => ['--gpu-memory-utilization', part];

/** A KV cache of a given size: what vLLM finds free is less while other servers start. */
const cache = (size) => ['--kv-cache-memory-bytes', size];
const large = ['l8', ...share('0.25'), ...cache('18G')];
const small = ['q15', ...share('0.05'), ...cache('2G')];
const eager = '--enforce-eager';

/** How the completions endpoint of OpenAI is asked; greedy, so that answers repeat. */
const completions = {
  health: '/health',
  path: '/v1/completions',
  bodies: ['Once upon a time', 'The capital of', 'def main():', 'In 1969,'].map((prompt) => ({
    ...{ model: 'm', prompt, max_tokens: 24, temperature: 0, ignore_eos: true },
  })),
  textOf: (answer) => answer.choices[0].text,
};

/** The same request for one token. */
const firstOf = (body) => ('max_tokens' in body ? { ...body, max_tokens: 1 } : body);

const post = (path) => ({ method: 'POST', path });

/** A prompt of more than 1,000 tokens, which the server keeps in its prefix cache. */
const longPrompt = Array.from({ length: 150 }, (_, i) => `${i} sheep`).join(', ');

const dev = { VLLM_SERVER_DEV_MODE: '1' };

export const rows = [
  { name: 'vllm-8b', about: '8 B, CUDA graphs', command: vllm(...large) },
  { name: 'vllm-8b-eager', about: '8 B, eager', command: vllm(...large, eager) },
  {
    name: 'vllm-8b-few-queues',
    about: '8 B, eager, CUDA_DEVICE_MAX_CONNECTIONS=1',
    command: vllm(...large, eager),
    env: { CUDA_DEVICE_MAX_CONNECTIONS: '1' },
  },
  {
    name: 'vllm-8b-two-gpus',
    about: '8 B, eager, two GPUs',
    gpus: 2,
    command: vllm(...large, eager, '--tensor-parallel-size', '2'),
  },
  {
    name: 'vllm-8b-0.9',
    about: '8 B, eager, 0.9 of the memory',
    command: vllm('l8', ...share('0.9'), eager),
  },
  { name: 'vllm-1.5b', about: '1.5 B, CUDA graphs', command: vllm(...small) },
  {
    name: 'vllm-1.5b-eager',
    about: '1.5 B, eager',
    command: vllm(...small, eager),
  },
  {
    name: 'vllm-forked',
    about: '1.5 B, engine forked',
    command: vllm(...small, eager),
    env: { VLLM_WORKER_MULTIPROC_METHOD: 'fork' },
  },
  {
    name: 'vllm-two-api-servers',
    about: '1.5 B, two API servers',
    command: vllm(...small, eager, '--api-server-count', '2'),
  },
  {
    name: 'vllm-sleep-1',
    about: '8 B, asleep at level 1',
    command: vllm('l8', ...share('0.15'), ...cache('2G'), eager, '--enable-sleep-mode'),
    env: dev,
    before: [post('/sleep?level=1')],
    after: [post('/wake_up')],
  },
  {
    // level 2 drops the weights: they are loaded again after the wake-up, as in a server that changes its model
    name: 'vllm-sleep-2',
    about: '1.5 B, asleep at level 2',
    command: vllm(
      'q15-weights',
      ...small.slice(1),
      eager,
      '--load-format',
      'safetensors',
      '--enable-sleep-mode',
    ),
    env: dev,
    before: [post('/sleep?level=2')],
    after: [post('/wake_up'), { ...post('/collective_rpc'), body: { method: 'reload_weights' } }],
  },
  {
    name: 'vllm-warm-prefixes',
    about: '1.5 B, warm prefix cache',
    command: vllm(...small, eager),
    bodies: [{ model: 'm', prompt: longPrompt, max_tokens: 4, temperature: 0, ignore_eos: true }],
  },
  {
    name: 'vllm-in-flight',
    about: '1.5 B, a request in flight',
    command: vllm(...small, eager),
    inFlight: { model: 'm', prompt: 'Once upon a time', max_tokens: 1500, temperature: 0, ignore_eos: true },
  },
  {
    name: 'vllm-in-process',
    about: '1.5 B, LLM() with the engine in the process',
    command: ['python3', 'HERE/llm_server.py', 'MODELS/q15', 'PORT'],
    env: { VLLM_ENABLE_V1_MULTIPROCESSING: '0' },
  },
  {
    name: 'vllm-llm-forked',
    about: '1.5 B, LLM() with a forked engine',
    command: ['python3', 'HERE/llm_server.py', 'MODELS/q15', 'PORT'],
    env: { VLLM_ENABLE_V1_MULTIPROCESSING: '1', VLLM_WORKER_MULTIPROC_METHOD: 'fork' },
  },
  {
    name: 'vllm-lora',
    about: '1.5 B, with a LoRA adapter',
    command: vllm(
      ...small,
      eager,
      '--enable-lora',
      '--max-lora-rank',
      '16',
      '--lora-modules',
      'lora=MODELS/lora',
    ),
    bodies: ['m', 'lora'].flatMap((model) => completions.bodies.map((body) => ({ ...body, model }))),
  },
  {
    name: 'vllm-8b-fp8',
    about: '8 B, weights quantized to fp8 at the start',
    command: vllm('l8', ...share('0.15'), ...cache('4G'), eager, '--quantization', 'fp8'),
  },
  // What the parts of the preset `vllm` are measured with; vllm-8b and vllm-8b-eager show --enforce-eager.
  {
    name: 'vllm-preset',
    about: '1.5 B, started with the preset vllm',
    command: [
      ...[
        'python3',
        '-m',
        'vllm.entrypoints.cli.main',
        'serve',
        'MODELS/q15-weights',
        '--served-model-name',
        'm',
      ],
      ...[...cache('2G'), ...listen],
    ],
    preset: 'vllm',
  },
  {
    name: 'vllm-safetensors',
    about: '1.5 B, weights from safetensors',
    command: vllm('q15-weights', ...small.slice(1), eager, '--load-format', 'safetensors'),
  },
  {
    name: 'vllm-pickled',
    about: '1.5 B, weights from pickled tensors',
    command: vllm('q15-bin', ...small.slice(1), eager, '--load-format', 'hf'),
  },
  {
    name: 'vllm-4096',
    about: '1.5 B, contexts of up to 4,096 tokens',
    command: vllm(...small, eager, '--max-model-len', '4096'),
  },
  {
    name: 'vllm-1024',
    about: '1.5 B, contexts of up to 1,024 tokens',
    command: vllm(...small, eager, '--max-model-len', '1024'),
  },
  {
    // without its prompt cache, so that the same question is computed in the same way
    name: 'llama.cpp',
    about: '3 B in Q8_0, llama-server',
    command: [
      'llama-server',
      '--model',
      'MODELS/llama.gguf',
      '--gpu-layers',
      '99',
      '--ctx-size',
      '8192',
      ...listen,
    ],
    bodies: completions.bodies.map((body) => ({ ...body, cache_prompt: false })),
  },
  {
    // without its prefix cache, for the same reason
    name: 'sglang',
    about: '1.5 B, SGLang, eager',
    command: [
      ...['python3', '-m', 'sglang.launch_server', '--model-path', 'MODELS/q15', '--served-model-name', 'm'],
      ...['--load-format', 'dummy', '--context-length', '2048', '--mem-fraction-static', '0.1'],
      ...[
        '--attention-backend',
        'triton',
        '--sampling-backend',
        'pytorch',
        '--disable-cuda-graph',
        ...listen,
      ],
    ],
  },
  {
    name: 'diffusion',
    about: 'PyTorch, 20 denoising steps an image',
    command: ['python3', 'HERE/diffusion_server.py', 'PORT'],
    path: '/image',
    bodies: [{ seed: 1 }, { seed: 2 }],
    textOf: (answer) => answer.sha256,
  },
]
  .map((row) => ({ ...completions, env: {}, before: [], after: [], ...row }))
  .map((row) => ({ first: firstOf(row.bodies[0]), ...row }));
