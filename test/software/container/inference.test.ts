// SPDX-License-Identifier: MIT
/** The inference server of the benchmarks: its HTTP API, and dump and restore. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import { readResult } from '../../../lib/benchmark/index.ts';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

import { main } from '../../../lib/program.ts';
import { type ServerAnswer, ask, Server, untilNoConnections } from '../../../lib/server/index.ts';
import { Program } from '../../../lib/workload/index.ts';
import { freePort } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { captureIo } from '../../unit/cli/capture.ts';

const workloads = join(projectRoot, 'benchmarks', 'workloads');
const here = join(projectRoot, 'test', 'inference');

/** A python that has a module: the user's or the system's. */
async function pythonWith(context: TestContext, module: string): Promise<string> {
  for (const python of ['python3', '/usr/bin/python3']) {
    const answer = await execResult(python, ['-c', `import ${module}`]).catch(() => undefined);
    if (answer?.exitCode === 0) return python;
  }
  return context.skip(`cannot find a python3 with the module ${module}`);
}

let machine: Machine;
let port: number;
let url: string;

beforeEach(async () => {
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  vi.stubEnv('TMPDIR', machine.dir);
  vi.stubEnv('PYTHONDONTWRITEBYTECODE', '1');
  port = await freePort();
  url = `http://127.0.0.1:${port}`;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

const command = (python: string): string[] => [python, join(here, 'tiny_server.py'), workloads, String(port)];

it("answers OpenAI's HTTP API, with and without streaming, and names what is wrong with a request", async (context) => {
  const program = await Program.run(command(await pythonWith(context, 'aiohttp')));
  const complete = (body: unknown): Promise<ServerAnswer> =>
    ask(new URL('/v1/completions', url), { method: 'POST', body });
  try {
    const host = { name: 'tiny', isRunning: () => Promise.resolve(program.isRunning) };
    const server = new Server({ url, healthTimeoutMs: 20_000 });
    await server.untilHealthy(host);
    const models = await ask(new URL('/v1/models', url));
    expect(JSON.parse(models.text)).toMatchObject({ object: 'list', data: [{ id: 'counting' }] });

    const request = { model: 'counting', prompt: [1, 2, 3], max_tokens: 4, temperature: 0 };
    expect(await complete(request)).toMatchObject({ status: 200, text: ' 6 10 15 21' });
    expect(await complete({ ...request, stream: true })).toMatchObject({ status: 200, text: ' 6 10 15 21' });
    // the tokens of a text are its bytes: A is 65
    expect((await complete({ ...request, prompt: 'A', max_tokens: 2 })).text).toBe(' 66 68');
    expect((await complete({ ...request, max_tokens: 1, temperature: 0.5, seed: 4 })).text).toBe(' 60');
    expect((await server.ask()).text.split(' ')).toHaveLength(1 + 8);
    // requests that arrive together are answered one after the other, each with its own tokens
    const together = await Promise.all(
      [10, 20, 30].map((one) => complete({ ...request, prompt: [one], stream: one === 20 })),
    );
    expect(together.map(({ text }) => text)).toEqual([' 11 13 16 20', ' 21 23 26 30', ' 31 33 36 40']);

    const wrong: [unknown, string][] = [
      [{ ...request, prompt: [] }, 'prompt must be a text or a list of token ids, and not empty'],
      [{ ...request, prompt: [1, 1000] }, 'token ids must be whole numbers from 0 to 999'],
      [{ ...request, prompt: [true] }, 'token ids must be whole numbers'],
      [
        { ...request, prompt: 'x'.repeat(300) },
        'the prompt has 300 tokens; prompt and answer have room for 300',
      ],
      [{ ...request, max_tokens: 298 }, 'max_tokens must be a number from 1 to 297'],
      [{ ...request, temperature: 'hot' }, 'temperature must be a number from 0 to 2'],
      [{ ...request, stream: 1 }, 'stream must be true or false'],
      [{ ...request, model: 'other' }, 'there is no model other, only counting'],
      [[], 'the request must be a JSON object'],
    ];
    for (const [body, says] of wrong) {
      const { status, text } = await complete(body);
      expect([status, text]).toEqual([400, expect.stringContaining(says)]);
    }
    await untilNoConnections(port);
    process.kill(program.pid, 'SIGTERM');
    await program.ended();
  } finally {
    await program.kill();
  }
});

it('is dumped and restored repeatedly, with the same tokens', async (context) => {
  const python = await pythonWith(context, 'aiohttp');
  const out = join(machine.dir, 'result.json');
  const store = join(machine.dir, 'store');
  const words = ['bench', 'run', '--cases', 'cold-start,stock', '--url', url, '--store', store, '--out', out];
  const { io, stderr } = captureIo();
  expect(
    await main([...words, '--rounds', '2', '--warmup', '0', '--', ...command(python)], io),
    stderr(),
  ).toBe(0);
  expect(readResult(out).samples.map((one) => one.case)).toEqual([
    'cold-start',
    'stock',
    'cold-start',
    'stock',
  ]);
  expect(readdirSync(store)).toEqual([]);
});

it('says which modules it needs', async () => {
  const script = join(workloads, 'inference_server.py');
  // -S: without site-packages
  const { exitCode, stderr } = await execResult('python3', ['-S', script, '--model-dir', machine.dir]);
  expect([exitCode, stderr]).toEqual([
    1,
    'inference_server.py needs torch, transformers, safetensors, aiohttp; not installed: torch, transformers, safetensors, aiohttp',
  ]);
});
