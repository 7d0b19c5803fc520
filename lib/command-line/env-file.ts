// SPDX-License-Identifier: MIT
/**
 * `--env-file`: the settings of a hand-written suite become words of a command line. What was typed comes first.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';

const FLAG = '--env-file';

/** The keys, in the order of docs/from-scripts.md. NVIDIA_LIBS_PATH is accepted: the GPU's libraries come by CDI. */
const keys = [
  ...[
    'MODEL_ID',
    'MAX_MODEL_LEN',
    'GPU_MEMORY_UTIL',
    'CONT_NAME',
    'VLLM_IMAGE',
    'API_PORT',
    'CHECKPOINT_DIR',
  ],
  ...[
    'CKPT_PATH',
    'RESULTS_DIR',
    'NVIDIA_LIBS_PATH',
    'MODELS_CACHE',
    'WARMUP_REQUESTS',
    'HEALTH_CHECK_TIMEOUT',
  ],
] as const;
type Settings = Partial<Record<(typeof keys)[number], string>>;

const isKey = (name: string): name is (typeof keys)[number] => (keys as readonly string[]).includes(name);

/** Parses lines `KEY=value`, with quotes, comments and `export`. Other keys are left out. */
export function parseEnvFile(text: string): Settings {
  const settings: Settings = {};
  for (const line of text.split('\n')) {
    const [, name = '', quote = '', quoted = '', plain = ''] =
      /^\s*(?:export\s+)?(\w+)\s*=\s*(?:(["'])(.*?)\2|([^#]*))/.exec(line) ?? [];
    const value = quote === '' ? plain.trim() : quoted;
    if (isKey(name) && value !== '') settings[name] = value;
  }
  return settings;
}

function readSettings(path: string): Settings {
  if (!existsSync(path))
    throw new UsageError(`${path} does not exist`, 'lines KEY=value; see docs/from-scripts.md');
  return parseEnvFile(readFileSync(path, 'utf8'));
}

/** Takes `--env-file FILE` or `--env-file=FILE` out of the words. */
function takeFile(words: readonly string[]): { path: string | undefined; rest: string[] } {
  const at = words.findIndex((word) => word === FLAG || word.startsWith(`${FLAG}=`));
  const word = words[at];
  if (word === undefined) return { path: undefined, rest: [...words] };
  const isJoined = word !== FLAG;
  const path = isJoined ? word.slice(FLAG.length + 1) : words[at + 1];
  if (path === undefined || path === '') throw new UsageError(`${FLAG} needs a file`, `${FLAG} .env`);
  return { path, rest: [...words.slice(0, at), ...words.slice(at + (isJoined ? 1 : 2))] };
}

function serverCommand({ MODEL_ID, MAX_MODEL_LEN, GPU_MEMORY_UTIL }: Settings): string[] {
  if (MODEL_ID === undefined) return [];
  const option = (flag: string, value: string | undefined): string[] =>
    value === undefined ? [] : [flag, value];
  return [
    ...['vllm', 'serve', MODEL_ID],
    ...option('--max-model-len', MAX_MODEL_LEN),
    ...option('--gpu-memory-utilization', GPU_MEMORY_UTIL),
  ];
}

/** The options that the settings stand for, for one command. */
function optionsOf(group: string, name: string, settings: Settings): [string, string | undefined][] {
  const { API_PORT, CHECKPOINT_DIR, CKPT_PATH, RESULTS_DIR, MODELS_CACHE, WARMUP_REQUESTS } = settings;
  const measures = group === 'bench' || name === 'bench';
  const file = group === 'bench' ? name : (settings.CONT_NAME ?? name);
  return [
    ['--url', API_PORT === undefined ? undefined : `http://127.0.0.1:${API_PORT}`],
    ['--store', CHECKPOINT_DIR],
    ['--requests', WARMUP_REQUESTS],
    ['--health-timeout', settings.HEALTH_CHECK_TIMEOUT],
    ['--output', measures && RESULTS_DIR !== undefined ? join(RESULTS_DIR, `${file}.json`) : undefined],
    ['--export', group === 'golden' && !measures ? CKPT_PATH : undefined],
    ...(group === 'golden'
      ? ([
          ['--preset', settings.MODEL_ID === undefined ? undefined : 'vllm'],
          [
            '--podman-arg',
            MODELS_CACHE === undefined ? undefined : `--volume=${MODELS_CACHE}:/root/.cache/huggingface`,
          ],
        ] as [string, string | undefined][])
      : []),
  ];
}

const accepting: readonly string[] = ['golden create', 'golden bench', 'bench run', 'bench matrix'];

/**
 * The command line with the settings of `--env-file` as words; unchanged without it.
 * @throws {@link UsageError} there is no such file
 */
export function withEnvFile(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const before = end < 0 ? argv : argv.slice(0, end);
  const at = before.findIndex((word, index) => accepting.includes(`${word} ${before[index + 1] ?? ''}`));
  const [group = '', name = ''] = at < 0 ? [] : before.slice(at, at + 2);
  const { path, rest } = at < 0 ? { path: undefined, rest: [] } : takeFile(before.slice(at + 2));
  if (path === undefined) return [...argv];
  const settings = readSettings(path);
  const isTyped = (flag: string): boolean =>
    rest.some((word) => word === flag || word.startsWith(`${flag}=`));
  const options = optionsOf(group, name, settings).flatMap(([flag, value]) =>
    value === undefined || isTyped(flag) ? [] : [`${flag}=${value}`],
  );
  const isNamed = group !== 'golden' || (rest[0] !== undefined && !rest[0].startsWith('-'));
  const { CONT_NAME = [], VLLM_IMAGE = [] } = settings;
  const program = end < 0 ? serverCommand(settings) : argv.slice(end + 1);
  return [
    ...before.slice(0, at + 2),
    ...(isNamed ? [] : [CONT_NAME, VLLM_IMAGE].flat()),
    ...rest,
    ...options,
    ...(program.length === 0 ? [] : ['--', ...program]),
  ];
}

/** Describes the option: {@link withEnvFile} has read it before the command line is parsed. */
export function addEnvFile(command: Command): Command {
  return command.option(
    `${FLAG} <file>`,
    'name, image, model, port, directories and counts from lines KEY=value, where they are not typed (docs/from-scripts.md)',
  );
}
