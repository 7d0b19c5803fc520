// SPDX-License-Identifier: MIT
/** Golden checkpoints as jobs of a real Slurm: examples/slurm on three nodes with four software GPUs each. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';
import { missingForSlurm, NODES, SlurmCluster } from './slurm-cluster.ts';

const TIMEOUT_MS = 300_000;
/** For what a job does on a busy machine. */
const patient = { timeout: 120_000, interval: 200 };
const JOBS = 30;
const SIZE = 8 * 2 ** 20;
/** What a restore says of device memory: a copy of the resident image, or loaded from the files on another GPU. */
const LOADED_BY_PROLOG = /pool 8 MiB by the daemon \(golden\)/;
const LOADED_BY_JOB = /pool 8 MiB by the daemon \(\d+ streams/;
const program = join(projectRoot, 'test/fixtures/servers/golden_job.py');

let cluster: SlurmCluster | undefined;
let reason: string | undefined;

/** The cluster, which is there in a test that is not skipped. */
function slurm(): SlurmCluster {
  if (cluster === undefined) throw new Error('there is no cluster');
  return cluster;
}

const checksum = `checksum ${createHash('sha256')
  .update(createHash('shake256', { outputLength: SIZE }).update('golden').digest())
  .digest('hex')}`;
const hold = (): string => slurm().path('hold');

/** The program with 8 MiB on the GPU, dumped on a machine that is none of the nodes but has its files where they do. */
async function makeGolden({ dir, env, imagesDir }: SlurmCluster): Promise<void> {
  const script = `
    cd "$1"
    mkdir build
    mount --bind build node
    exec criu-cuda run -- python3 ${program} "$1/hold" < /dev/null 2> golden.err`;
  const words = ['--mount', 'sh', '-euc', script, 'sh', dir];
  const child = spawn('unshare', words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await waitUntil(() => said.includes('ready') || child.exitCode !== null, patient);
  expect(said, readFileSync(join(dir, 'golden.err'), 'utf8')).toContain('ready');
  const pid = /process to checkpoint is (\d+)/.exec(readFileSync(join(dir, 'golden.err'), 'utf8'))?.[1] ?? '';
  const checkpoint = ['--target', pid, '--mount', 'criu-cuda', 'checkpoint', pid, imagesDir];
  const dumped = await execResult('nsenter', checkpoint, { env });
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
}

beforeAll(async () => {
  reason = await missingForSlurm();
  if (reason !== undefined) return;
  cluster = new SlurmCluster();
  await makeGolden(cluster);
  await cluster.start();
}, TIMEOUT_MS);
afterAll(() => cluster?.close());
beforeEach((context) => {
  if (reason !== undefined) context.skip(reason);
});

async function succeed(...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await slurm().run(...words);
  expect(exitCode, `${words.join(' ')}\n${stdout}${stderr}\n${slurm().logs()}`).toBe(0);
  return stdout;
}

const golden = (...options: string[]): string[] => [
  slurm().path('etc/golden.sh'),
  slurm().imagesDir,
  '--isolated',
  ...options,
];

/** Submits golden.sbatch as the example has it, with the directory of this cluster. */
async function submit(
  output: string,
  flags: readonly string[] = [],
  options: readonly string[] = [],
): Promise<string> {
  const text = readFileSync(join(projectRoot, 'examples/slurm/golden.sbatch'), 'utf8');
  const script = slurm().path('golden.sbatch');
  const adapted = text
    .replace('/etc/slurm/', `${slurm().path('etc')}/`)
    .replace('--isolated', ['--isolated', ...options].join(' '));
  writeFileSync(script, adapted);
  const words = [
    '--parsable',
    '--output',
    slurm().path(`out/${output}`),
    ...flags,
    script,
    slurm().imagesDir,
  ];
  return (await succeed('sbatch', ...words)).trim();
}

const output = (name: string): string => {
  const path = slurm().path(`out/${name}`);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};

/** What `scontrol show job` says of a job. */
async function show(job: string): Promise<Record<string, string>> {
  const text = await succeed('scontrol', 'show', 'job', '--oneliner', job);
  return Object.fromEntries(
    [...text.matchAll(/(\w+)=(\S*)/g)].map(([, name = '', value = '']) => [name, value]),
  );
}

const ended = (job: string, state: string): Promise<void> =>
  waitFor(async () => {
    expect(await show(job), slurm().logs()).toMatchObject({ JobState: state });
  }, patient);

/** No program of a job is left on a node, and the GPUs have as much free memory as before any job. */
async function expectNothingLeft(node: string): Promise<void> {
  await waitFor(async () => {
    const { stdout } = await slurm().onNode(node, 'ps', '-e', '-o', 'args');
    expect(stdout.split('\n').filter((line) => /golden_job|criu-cuda-init|cli\.cjs/.test(line))).toEqual([]);
  }, patient);
  const { stdout } = await slurm().onNode(node, 'criu-cuda', '--json', 'process', 'list');
  expect(stdout).not.toContain('python3');
}

it(
  'a step is the restored program, with its output, and has what the prolog loaded',
  async () => {
    rmSync(hold(), { force: true });
    const said = await succeed('srun', '--gres=gpu:1', ...golden());
    expect(said).toContain(checksum);
    expect(said).toMatch(LOADED_BY_PROLOG);
    await expectNothingLeft('n1');
  },
  TIMEOUT_MS,
);

describe('jobs', () => {
  it(
    `of which ${JOBS} are submitted at once each have the checksum`,
    async () => {
      const job = await submit('many-%a', [`--array=0-${JOBS - 1}`]);
      await waitFor(
        async () => {
          expect(await succeed('squeue', '--noheader', '--jobs', job)).toBe('');
        },
        { timeout: TIMEOUT_MS, interval: 500 },
      );
      const outputs = Array.from({ length: JOBS }, (_, i) => output(`many-${i}`));
      for (const [i, one] of outputs.entries()) expect(one.split(checksum), `job ${i}`).toHaveLength(2);
      // on the GPU of the dump, and on the others
      expect(outputs.some((one) => one.includes('pool 8 MiB by the daemon (golden)'))).toBe(true);
      expect(outputs.some((one) => LOADED_BY_JOB.test(one))).toBe(true);
      for (const node of NODES) await expectNothingLeft(node);
    },
    TIMEOUT_MS,
  );

  it(
    'end with SIGTERM when they are canceled, and leave nothing',
    async () => {
      writeFileSync(hold(), '');
      const job = await submit('canceled');
      await waitUntil(() => output('canceled').includes('holding'), patient);
      const { NodeList: node = '' } = await show(job);
      await succeed('scancel', job);
      await ended(job, 'CANCELLED');
      await waitUntil(() => output('canceled').includes('ended by SIGTERM'), patient);
      await expectNothingLeft(node);
    },
    TIMEOUT_MS,
  );

  it(
    'start again on another node when theirs dies in the middle of a restore',
    async () => {
      rmSync(hold(), { force: true });
      const [marks, block] = [slurm().path('restoring'), slurm().path('block')];
      writeFileSync(block, '');
      // runs when the program is there and does not run yet
      const wait = `hostname > ${marks}; while [ -e ${block} ]; do sleep 0.05; done`;
      const job = await submit('killed', [], [`--post-restore '${wait}'`]);
      const node = await waitUntil(() => existsSync(marks) && readFileSync(marks, 'utf8').trim(), patient);
      expect(NODES).toContain(node);
      expect(await show(job)).toMatchObject({ JobState: 'RUNNING', NodeList: node });
      slurm().killNode(node);
      rmSync(block);
      await succeed('scontrol', 'update', `NodeName=${node}`, 'State=DOWN', 'Reason=died');
      // Slurm leaves two minutes before it starts such a job again
      await ended(job, 'PENDING');
      await succeed('scontrol', 'update', `JobId=${job}`, 'StartTime=now');
      await ended(job, 'COMPLETED');
      const { NodeList: second, Restarts } = await show(job);
      expect(Restarts).toBe('1');
      expect(second).not.toBe(node);
      expect(output('killed').split(checksum)).toHaveLength(2);
    },
    TIMEOUT_MS,
  );
});
