// SPDX-License-Identifier: MIT
/** Golden checkpoints of a server that answers with the digits of its device memory's checksum. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import { readResult } from '../../../lib/benchmark/index.ts';
import { checkpointContainer, findContainer, removeContainer } from '../../../lib/container/index.ts';
import { exec } from '../../../lib/exec.ts';
import { createGolden, type GoldenCreateOptions, restoreGolden } from '../../../lib/golden/index.ts';
import { ask } from '../../../lib/server/index.ts';
import { main } from '../../../lib/program.ts';
import { freePort, prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { captureIo } from '../../unit/cli/capture.ts';
import { waitFor } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-golden-${process.pid}`;

let machine: Machine;
let url: string;
let options: GoldenCreateOptions;

beforeEach(async (context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  options = {
    name,
    image,
    command: ['/bin/workload-pattern', '--alloc', '8Mx3', '--http', String(port)],
    preset: 'python-server',
    gpu: 'none',
    server: { url, healthTimeoutMs: 20_000 },
    warmup: 2,
  };
});
afterEach(async () => {
  for (const one of [name, `${name}-2`]) await removeContainer(one);
  vi.unstubAllEnvs();
  await machine.close();
});

const isRunning = async (): Promise<boolean | undefined> => (await findContainer(name))?.isRunning;

async function stop(): Promise<void> {
  await exec('podman', ['kill', '--signal', 'KILL', name]);
  await exec('podman', ['wait', name]);
}

it('is created once, and gives the same answer restored in place and from a tar file', async () => {
  const tar = join(machine.dir, 'golden.tar');
  const store = join(machine.dir, 'store');
  const made = await createGolden({ ...options, store, exportTo: tar });
  expect(made.created).toBe(true);
  expect(made.checkpoint).toMatchObject({
    plugin: { variant: 'full' },
    memory: [{ pool: { by: 'helper' } }],
  });
  expect(made.record.warmup).toHaveLength(2);
  const [first, second] = made.record.warmup;
  expect(first?.text).toMatch(/^[0-9a-f]{16}$/);
  expect(second?.text).toBe(first?.text);
  expect(first?.firstTokenMs).toBeLessThanOrEqual(first?.durationMs ?? 0);
  expect(await isRunning()).toBe(false);

  const again = await createGolden({ ...options, store });
  expect(again).toMatchObject({ created: false, record: made.record });

  for (let i = 0; i < 2; i += 1) {
    const back = await restoreGolden({ name });
    expect(back.answer.text).toBe(first?.text);
    expect(back.restore.tasks).toMatchObject([{ outcome: 'restored' }]);
    expect(back.restore).toMatchObject({ plugin: { variant: 'full' }, memory: [{ pool: { by: 'helper' } }] });
    expect(back.firstTokenMs).toBeGreaterThan(back.healthyMs);
    await stop();
  }

  await removeContainer(name);
  const { preset, gpu } = options;
  // as on another machine: the tar file is all that is left
  const imported = { name: `${name}-2`, preset, gpu, store };
  const back = await restoreGolden({ ...imported, importFrom: tar });
  expect(back.answer.text).toBe(first?.text);
  expect(back.restore.tasks).toMatchObject([{ outcome: 'restored' }]);
  await exec('podman', ['kill', '--signal', 'KILL', `${name}-2`]);
  await exec('podman', ['wait', `${name}-2`]);
  expect((await restoreGolden({ name: `${name}-2` })).answer.text).toBe(first?.text);
  const answer = await waitFor(() =>
    ask(new URL('/v1/completions', url), { method: 'POST', body: { prompt: 'x' } }),
  );
  expect(answer.text).toBe(first?.text);
});

it('leaves the container running when it fails, and continues with it', async () => {
  await expect(createGolden({ ...options, criu: '/bin/false' })).rejects.toMatchObject({
    code: 'ERR_CONTAINER_CHECKPOINT',
  });
  const left = await findContainer(name);
  expect(left?.isRunning).toBe(true);
  expect(await createGolden(options)).toMatchObject({ created: true });
  expect((await findContainer(name))?.id).toBe(left?.id);
});

it('says why a server does not start, with its last output', async () => {
  const command = ['/bin/workload-pattern', '--alloc', '8000G', '--http', '1'];
  await expect(createGolden({ ...options, command })).rejects.toThrow(
    /ended(?: at once with exit code 1|; its last output:)\n.*OUT_OF_MEMORY/,
  );
  await expect(createGolden(options)).rejects.toThrow('is not running and has no golden checkpoint');
  expect(await createGolden({ ...options, force: true })).toMatchObject({ created: true });
  await expect(restoreGolden({ name: 'none-such' })).rejects.toThrow('there is no container none-such');
});

it('notices a different answer', async () => {
  await createGolden(options);
  const record = join((await findContainer(name))?.dir ?? '', 'criu-cuda-golden.json');
  const text = readFileSync(record, 'utf8');
  const expected = /"text": "(\w+)"/.exec(text)?.[1] ?? '';
  await exec('sed', ['-i', `s/${expected}/0123456789abcdef/`, record]);
  await expect(restoreGolden({ name })).rejects.toThrow(
    `answers "${expected}", and answered "0123456789abcdef" before`,
  );
  await stop();
  expect((await restoreGolden({ name, compare: false })).answer.text).toBe(expected);
  const bench = captureIo();
  const words = ['golden', 'bench', name, image, '--url', url, '--store', join(machine.dir, 's')];
  expect(await main(words, bench.io)).toBe(2);
  expect(bench.stderr()).toContain(`the container ${name} already exists`);
  expect(await isRunning()).toBe(true);
});

it('is measured against a cold start, with a result that can be reported', async () => {
  const out = join(machine.dir, 'result', 'golden.json');
  const { io, stderr } = captureIo();
  const words = [
    'golden',
    'bench',
    name,
    image,
    '--url',
    url,
    '--gpu',
    'none',
    '--store',
    join(machine.dir, 's'),
  ];
  const more = ['--variants', 'stock,parallel', '--rounds', '1', '--requests', '1', '--output', out, '--'];
  expect(await main([...words, ...more, ...(options.command ?? [])], io), stderr()).toBe(0);
  const result = readResult(out);
  expect(result.samples.map((sample) => sample.case)).toEqual(['stock', 'parallel']);
  for (const { coldMs, restoreMs, restorePhases, verifiedMs } of result.samples) {
    expect(coldMs).toBeGreaterThan(0);
    expect(verifiedMs).toBeGreaterThan(restoreMs);
    expect(restorePhases.reduce((sum, phase) => sum + phase.durationMs, 0)).toBeCloseTo(restoreMs, 3);
    expect(restorePhases.map(({ part }) => part)).toContain('podman');
  }
  expect(await findContainer(name)).toBeUndefined();
  expect(existsSync(`${out}.partial`)).toBe(false);
});

it('is not what a container has that was only exported, or whose recorded answer is another one', async () => {
  const [plain, tar] = [join(machine.dir, 'plain.tar'), join(machine.dir, 'golden.tar')];
  await createGolden({ ...options, exportTo: tar });
  await restoreGolden({ name });
  await checkpointContainer({ name, exportTo: plain });
  await removeContainer(name);
  const { preset, gpu } = options;
  await expect(restoreGolden({ name, preset, gpu, importFrom: plain })).rejects.toThrow(
    `${plain} has no golden checkpoint`,
  );
  expect(await findContainer(name)).toBeUndefined();

  const record = (await exec('tar', ['-xOf', tar, 'criu-cuda-golden.json'])).stdout;
  writeFileSync(
    join(machine.dir, 'criu-cuda-golden.json'),
    record.replaceAll(/"text": "[0-9a-f]{16}"/g, '"text": "another"'),
  );
  await exec('tar', ['--delete', '-f', tar, 'criu-cuda-golden.json']);
  await exec('tar', ['--append', '-f', tar, '-C', machine.dir, 'criu-cuda-golden.json']);
  await expect(restoreGolden({ name, preset, gpu, importFrom: tar })).rejects.toThrow(
    'and answered "another"',
  );
});
