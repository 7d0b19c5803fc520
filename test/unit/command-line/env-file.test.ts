// SPDX-License-Identifier: MIT
/** The settings of a hand-written suite, as words of a command line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseEnvFile, withEnvFile } from '../../../lib/command-line/env-file.ts';
import { main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

const text = `# of setup.sh
MODEL_ID="Qwen/Qwen2-1.5B-Instruct"
MAX_MODEL_LEN=1024
export GPU_MEMORY_UTIL=0.30   # of the GPU
CONT_NAME='llm'
VLLM_IMAGE=docker.io/vllm/vllm-openai:latest
API_PORT=8000
CHECKPOINT_DIR=/mnt/img
CKPT_PATH=/mnt/img/llm.tar
RESULTS_DIR=results
NVIDIA_LIBS_PATH=/usr/lib/x
MODELS_CACHE=/models
WARMUP_REQUESTS=5
HEALTH_CHECK_TIMEOUT=300
EMPTY=
OTHER=1
`;

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-env-'));
  file = join(dir, '.env');
  writeFileSync(file, text);
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const model = [
  ...['--', 'vllm', 'serve', 'Qwen/Qwen2-1.5B-Instruct'],
  ...['--max-model-len', '1024', '--gpu-memory-utilization', '0.30'],
];

describe('--env-file', () => {
  it('makes a golden checkpoint from nothing else', () => {
    expect(withEnvFile(['golden', 'create', '--env-file', file])).toEqual([
      ...['golden', 'create', 'llm', 'docker.io/vllm/vllm-openai:latest'],
      ...['--url=http://127.0.0.1:8000', '--store=/mnt/img', '--requests=5', '--health-timeout=300'],
      ...[
        '--export=/mnt/img/llm.tar',
        '--preset=vllm',
        '--podman-arg=--volume=/models:/root/.cache/huggingface',
      ],
      ...model,
    ]);
  });

  it('names the file for results, and adds no container to a benchmark without one', () => {
    expect(withEnvFile(['golden', 'bench', `--env-file=${file}`])).toContain('--output=results/llm.json');
    expect(withEnvFile(['bench', 'run', '--env-file', file, '--cases', 'stock'])).toEqual([
      ...['bench', 'run', '--cases', 'stock', '--url=http://127.0.0.1:8000', '--store=/mnt/img'],
      ...['--requests=5', '--health-timeout=300', '--output=results/run.json'],
      ...model,
    ]);
  });

  it('yields to what is typed: name, options and program', () => {
    const words = withEnvFile([
      'golden',
      'create',
      'web',
      'IMAGE',
      '--env-file',
      file,
      '--store',
      '/a',
      '--',
      'x',
    ]);
    expect(words.slice(0, 6)).toEqual(['golden', 'create', 'web', 'IMAGE', '--store', '/a']);
    expect(words.filter((word) => word.startsWith('--store'))).toEqual(['--store']);
    expect(words.slice(-2)).toEqual(['--', 'x']);
  });

  it('changes no other command line, and nothing behind --', () => {
    for (const words of [
      ['golden', 'create', 'web', 'IMAGE'],
      ['golden', 'restore', 'web', '--env-file', file],
      ['bench', 'run', '--store', '/a', '--', 'podman', '--env-file', file],
    ])
      expect(withEnvFile(words)).toEqual(words);
  });

  it('says what is wrong', async () => {
    expect(() => withEnvFile(['bench', 'run', '--env-file'])).toThrow('--env-file needs a file');
    const { io, stderr } = captureIo();
    expect(await main(['bench', 'run', '--env-file', join(dir, 'none')], io)).toBe(2);
    expect(stderr()).toContain(`${join(dir, 'none')} does not exist`);
  });

  it('reads what shells read', () => {
    expect(parseEnvFile('API_PORT = 80 # x\n  export CONT_NAME="a b"\nMODEL_ID=\n')).toEqual({
      API_PORT: '80',
      CONT_NAME: 'a b',
    });
  });
});
