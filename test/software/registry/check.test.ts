// SPDX-License-Identifier: MIT
// What is in the way of an image on this machine, all at once, before any block is moved.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { supportedProtocols } from '../../../lib/images/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { inspectImage, pushImage, type DriverStack, type ImageCheck } from '../../../lib/registry/index.ts';
import { checkFound } from '../../../lib/registry/check.ts';
import { findImage, type FoundImage } from '../../../lib/registry/inspect.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';

const { min, max } = supportedProtocols;
const archive = join(projectRoot, 'test/fixtures/checkpoints/protocol-3.tar.xz');

let machine: Machine;
let registry: TestRegistry;
let cache: string;
let reference: string;
let environment: NodeJS.ProcessEnv;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  machine = new Machine();
  environment = { ...process.env };
  Object.assign(process.env, machine.env, { CRIU_CUDA_CRIU: criuProgram() });
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  cache = join(machine.dir, 'cache');
  await exec('tar', ['-xf', archive, '-C', machine.imagesDir]);
  reference = registry.reference('models/kept:1');
  await pushImage(machine.imagesDir, reference);
});
afterEach(async () => {
  process.env = environment;
  await registry.stop();
  await machine.close();
});

const cli = (...words: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...words]);

/** The image, as if its description said something else. */
async function imageWith(stack: Partial<DriverStack>, pagesBytes = 0): Promise<FoundImage> {
  const image = await findImage(reference, {});
  const { description } = image;
  const pages = { name: 'cuda-pages-1-0.img', size: pagesBytes, mode: 0o400, modified: 0 };
  return {
    ...image,
    description: {
      ...description,
      stack: { ...description.stack, interceptor: null, ...stack },
      files: [...description.files, pages],
    },
  };
}

const texts = ({ problems }: ImageCheck): string[] => problems.map(({ text }) => text);

it('an image that fits has no problem, and its blocks are not moved', async () => {
  const before = await registry.asked();
  const check = await checkFound(await imageWith({}), { cache });
  expect(check).toMatchObject({ reference, canRestore: true, problems: [], deviceMap: [] });
  const { layers } = await inspectImage(reference);
  expect(check.missingBytes).toBe(layers.reduce((sum, { size }) => sum + size, 0));
  const moved = (await registry.answered(before)).filter(({ path }) =>
    layers.some(({ digest }) => path.endsWith(digest)),
  );
  expect(moved).toEqual([]);
  expect(readdirSync(join(cache, 'blobs/sha256'))).toEqual([]);
});

it('everything that is in the way is named at once, each with its remedy', async () => {
  const [gpu] = (await findImage(reference, {})).description.stack.gpus;
  const image = await imageWith(
    {
      architecture: 'riscv64',
      driver: 99_010,
      gpus: [{ uuid: 'GPU-other', name: 'a GPU of another type', bytes: 1 }],
      criu: '99.1',
      cpu: 'AAAA',
      variants: 'another one',
      protocol: 99,
      interceptor: { path: '/nowhere/libcuda_intercept-0123456789abcdef.so', buildId: '0123456789abcdef' },
    },
    2 ** 52,
  );
  const check = await checkFound(image, { cache, cacheBudget: 1 });
  expect(check.canRestore).toBe(false);
  expect(texts(check)).toEqual([
    expect.stringMatching(/^it was dumped on riscv64; this machine is /),
    expect.stringMatching(/^it was dumped with a driver for CUDA 99\.1; the one here is for \d+\.\d+$/),
    `it needs a GPU of the type a GPU of another type; this machine has ${gpu?.name ?? ''}`,
    expect.stringMatching(/^it was dumped with CRIU 99\.1; the one here is \d/),
    expect.stringMatching(/^the CPU lacks what the one of the dump had: \w/),
    `its interceptor speaks protocol 99; this version restores ${min} to ${max}`,
    expect.stringMatching(/^the interceptor of its programs is not here: \/nowhere\//),
    expect.stringMatching(/^its processes have 4096 TiB of host memory; .* are available$/),
    expect.stringMatching(/needs .* in the cache .* which has 0 B of its budget of 1 B in use$/),
  ]);
  for (const { remedy } of check.problems) expect(remedy).toMatch(/\w/);
});

it('criu is asked once about a CPU that has everything, and each time about one that lacks something', async () => {
  const asked = join(machine.dir, 'asked');
  const criu = join(machine.dir, 'criu');
  writeFileSync(criu, `#!/bin/sh\necho "$1" >>${asked}\nexec ${criuProgram()} "$@"\n`, { mode: 0o755 });
  Object.assign(process.env, { CRIU_CUDA_CRIU: criu });
  const questions = (): number => readFileSync(asked, 'utf8').match(/^cpuinfo$/gm)?.length ?? 0;
  const images = join(machine.dir, 'cpu');
  mkdirSync(images);
  await exec(criuProgram(), ['cpuinfo', 'dump', '--images-dir', images]);
  const cpu = readFileSync(join(images, 'cpuinfo.img')).toString('base64');
  const good = await imageWith({ cpu });
  for (let round = 0; round < 2; round++) expect((await checkFound(good, { cache })).problems).toEqual([]);
  expect(questions()).toBe(1);
  const bad = await imageWith({ cpu: 'AAAA' });
  for (let round = 0; round < 2; round++)
    expect(texts(await checkFound(bad, { cache }))).toEqual([expect.stringMatching(/^the CPU lacks what/)]);
  expect(questions()).toBe(3);
});

it('a kernel that is older is a warning', async () => {
  const image = await imageWith({ kernel: '6.18.3', criu: '1', cpu: null });
  expect(await checkFound(image, { cache, kernel: '6.6.1-amd64' })).toMatchObject({
    canRestore: true,
    warnings: [
      'the kernel here, 6.6.1-amd64, is older than 6.18.3 of the dump: what the program used of it may be missing',
      'not compared, because the image does not say what the dump had: CPU',
    ],
  });
  const same = await imageWith({ kernel: release(), criu: '1' });
  expect((await checkFound(same, { cache })).warnings).toHaveLength(1);
});

it('another GPU of the same type takes the place of one that is not here', async () => {
  const [gpu] = (await findImage(reference, {})).description.stack.gpus;
  const image = await imageWith({ gpus: [{ uuid: 'GPU-other', name: gpu?.name ?? '', bytes: 1 }] });
  const { deviceMap, problems } = await checkFound(image, { cache });
  expect(problems).toEqual([]);
  expect(deviceMap).toEqual([['GPU-other', expect.stringMatching(/^GPU-736f/)]]);
});

it('the command exits with 2, and says what a pull would move', async () => {
  const checked = await cli('image', 'check', reference, '--cache', cache, '--json');
  const json = JSON.parse(checked.stdout) as ImageCheck;
  expect(json).toMatchObject({ reference, canRestore: json.problems.length === 0 });
  expect(checked.exitCode).toBe(json.canRestore ? 0 : 2);
  process.env.CRIU_CUDA_CRIU = '/nowhere/criu';
  const { exitCode, stdout } = await cli('image', 'check', reference, '--cache', cache);
  expect(exitCode).toBe(2);
  expect(stdout).toMatch(/cannot be restored here, as far as its description tells\nproblem: /);
  expect(stdout).toContain('→ unset CRIU_CUDA_CRIU, or set it to a criu');
  expect(stdout).toMatch(/a pull would move [\d.]+ [KM]iB$/);
});

it('a restore and a prefetch are refused before a block is moved; a pull only warns', async () => {
  process.env.CRIU_CUDA_CRIU = '/nowhere/criu';
  for (const words of [
    ['golden', 'restore', reference],
    ['pool', 'prefetch', reference],
  ]) {
    const { exitCode, stderr } = await cli(...words, '--cache', cache);
    expect(stderr).toContain(`this machine cannot restore ${reference}: cannot find a usable criu`);
    expect(exitCode).toBe(2);
    const blocks = (await inspectImage(reference)).layers.map(({ digest }) => digest.slice('sha256:'.length));
    const kept = readdirSync(join(cache, 'blobs/sha256'));
    expect(kept.filter((name) => blocks.includes(name))).toEqual([]);
  }
  const pulled = await cli('image', 'pull', reference, '--cache', cache);
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  expect(pulled.stderr).toContain('this machine cannot restore it: cannot find a usable criu');
  expect(readdirSync(join(cache, 'images'))).toHaveLength(1);
});

it('a directory of that name is meant before an image', async () => {
  const dir = join(machine.dir, 'registry.example.com');
  mkdirSync(join(dir, 'images'), { recursive: true });
  const command = [join(projectRoot, 'dist/cli.js'), 'image', 'check', 'registry.example.com/images'];
  const { stdout, stderr } = await execResult(process.execPath, command, { cwd: machine.dir });
  expect(`${stdout}${stderr}`).toContain(`${join(dir, 'images')} does not contain a checkpoint`);
});
