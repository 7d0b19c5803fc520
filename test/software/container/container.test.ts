// SPDX-License-Identifier: MIT
/** Containers with podman, runc and real CRIU: device memory is the same before and after, byte by byte. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi, type TestContext } from 'vitest';
import {
  cdiSpec,
  checkpointContainer,
  containerEdits,
  createContainer,
  findContainer,
  limitFlags,
  removeContainer,
  restoreContainer,
  writeCdi,
} from '../../../lib/container/index.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { readPageImages } from '../../../lib/images/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { pageImageBytes } from '../../helpers/host-memory.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const podmanPath = (await execResult('sh', ['-c', 'command -v podman'])).stdout;
const name = `criu-cuda-test-${process.pid}`;

let machine: Machine;
let socketPath: string;

beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  // with the software driver's devices, which have the same path in the container
  socketPath = join(machine.env.SOFTCUDA_DIR ?? '', 'w.sock');
});
afterEach(async () => {
  for (const one of [name, `${name}-2`]) await removeContainer(one);
  vi.unstubAllEnvs();
  await machine.close();
});

async function ask(request: string): Promise<string> {
  return waitFor(() => askWorkload(socketPath, request, 10_000), { interval: 20 });
}

const checksum = async (): Promise<string> => /checksum=(\w+)/.exec(await ask('verify'))?.[1] ?? 'none';

/** A different program with this name, which is found first. */
function scriptOnPath(program: string, line: string): void {
  const bin = join(machine.dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, program), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`);
}

async function start(variant: string): Promise<string> {
  const words = ['/bin/workload-pattern', '--alloc', '8Mx3', '--alloc', '64K', '--socket', socketPath];
  await createContainer({ name, image, command: words, variant, preset: 'python-server', gpu: 'none' });
  return checksum();
}

const isRunning = async (one = name): Promise<boolean | undefined> => (await findContainer(one))?.isRunning;

describe('a container in place', () => {
  for (const variant of ['stock', 'parallel']) {
    it(`is restored with its device memory, twice from the same images (${variant})`, async () => {
      const before = await start(variant);
      const dumped = await checkpointContainer({ name });
      expect(dumped).toMatchObject({ name, isRunning: false, exportedTo: undefined });
      expect(dumped.tasks).toMatchObject([{ outcome: 'dumped', prior: 'running' }]);
      const sum = dumped.phases.reduce((all, phase) => all + phase.durationMs, 0);
      expect(sum).toBeCloseTo(dumped.durationMs, 3);
      const images = readdirSync(dumped.imagesDir ?? '');
      expect(images.some((file) => /^cuda-\d+\.img$/.test(file))).toBe(variant !== 'stock');
      expect(dumped.bytes).toBeGreaterThan(24 * 2 ** 20);
      expect(await isRunning()).toBe(false);

      const first = await restoreContainer({ name, keep: true });
      expect(first.tasks).toMatchObject([{ outcome: 'restored' }]);
      expect(await checksum()).toBe(before);
      await exec('podman', ['kill', '--signal', 'KILL', name]);
      await exec('podman', ['wait', name]);

      const second = await restoreContainer({ name });
      expect(second.memoryMs).toBeGreaterThanOrEqual(second.durationMs);
      expect(await checksum()).toBe(before);
      expect(existsSync(dumped.imagesDir ?? '')).toBe(false);
      // the plugin left no files behind
      expect(readdirSync(machine.runDir).filter((file) => file.endsWith('.jsonl'))).toEqual([]);
    });
  }

  it('is not said to run when its program ends at once', async () => {
    const command = ['/bin/workload-pattern', '--no-such-option'];
    const failure = createContainer({ name, image, command, variant: 'stock', gpu: 'none' });
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_CONTAINER_STATE',
      message: expect.stringMatching(/ has ended at once with exit code 2\n[^]*no-such-option/) as string,
      hint: expect.stringContaining(`podman logs ${name}`) as string,
    });
    expect(await isRunning()).toBe(false);
  });

  it('keeps running if asked to, with its images in the store', async () => {
    const before = await start('parallel');
    const store = join(machine.dir, 'store');
    const dumped = await checkpointContainer({ name, leaveRunning: true, store });
    expect(await isRunning()).toBe(true);
    expect(await checksum()).toBe(before);
    const first = dumped.imagesDir ?? '';
    expect(dirname(first)).toBe(store);
    expect(readdirSync(first)).toContain('inventory.img');

    expect(await ask('fill 7')).toBe('ok');
    const after = await checksum();
    expect(after).not.toBe(before);
    await checkpointContainer({ name, store });
    expect(readdirSync(store)).toHaveLength(1);
    await restoreContainer({ name, keep: true });
    expect(await checksum()).toBe(after);
    await removeContainer(name);
    expect(readdirSync(store)).toEqual([]);
  });

  it("keeps host memory out of CRIU's images if the store is mounted in it", async () => {
    const store = join(machine.dir, 'store');
    const command = ['/bin/workload-pattern', '--alloc', '4M', '--host', '16M', '--socket', socketPath];
    await createContainer({ name, image, command, variant: 'parallel', gpu: 'none', store });
    const before = await checksum();
    const { imagesDir = '' } = await checkpointContainer({ name });
    expect(dirname(imagesDir)).toBe(join(store, name));
    const [pages] = await readPageImages(imagesDir);
    expect(pages?.stored).toBeGreaterThan(16 * 2 ** 20);
    expect(pageImageBytes(imagesDir)).toBeLessThan(4 * 2 ** 20);
    for (let round = 0; round < 2; round += 1) {
      await restoreContainer({ name, keep: true });
      expect(await checksum()).toBe(before);
      await exec('podman', ['kill', '--signal', 'KILL', name]);
      await exec('podman', ['wait', name]);
    }
    await restoreContainer({ name });
    const file = join(machine.dir, 'export.tar');
    await checkpointContainer({ name, exportTo: file });
    await removeContainer(name);
    expect(readdirSync(store)).toEqual([]);
    await restoreContainer({ name, importFrom: file, variant: 'parallel', store });
    expect(await checksum()).toBe(before);
  });

  it("keeps host memory out of CRIU's images if it does not see the images directory", async () => {
    const command = ['/bin/workload-pattern', '--alloc', '8M', '--host', '16M', '--socket', socketPath];
    await createContainer({ name, image, command, variant: 'remap', gpu: 'none' });
    const before = await checksum();
    const { imagesDir = '' } = await checkpointContainer({ name });
    const [pages] = await readPageImages(imagesDir);
    expect(pages?.directory).toBe('');
    // What the driver has saved, too, which is mapped from the page file elsewhere.
    const driver = pages?.mappings.find(({ drivers }) => drivers)?.address ?? 0n;
    const holds = ({ address, size }: { address: bigint; size: number }) =>
      driver >= address && driver < address + BigInt(size);
    expect(pages?.emptied.some(holds)).toBe(true);
    expect(pages?.stored).toBeGreaterThan(24 * 2 ** 20);
    expect(pageImageBytes(imagesDir)).toBeLessThan(4 * 2 ** 20);
    await restoreContainer({ name });
    expect(await checksum()).toBe(before);
  });

  it('keeps running after a failed checkpoint, and keeps its earlier one', async () => {
    const before = await start('parallel');
    const { imagesDir = '' } = await checkpointContainer({ name, leaveRunning: true });
    const kept = statSync(join(imagesDir, 'inventory.img')).ino;
    // the pool helper cannot write there
    const tooSmall = join(machine.dir, 'small');
    mkdirSync(tooSmall);
    await exec('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'none', tooSmall]);
    try {
      await expect(checkpointContainer({ name, store: tooSmall })).rejects.toMatchObject({
        code: 'ERR_CONTAINER_CHECKPOINT',
        message: expect.stringContaining(`cannot checkpoint ${name}: `) as string,
      });
    } finally {
      await exec('umount', [tooSmall]);
    }
    expect(await isRunning()).toBe(true);
    expect(await checksum()).toBe(before);
    expect(statSync(join(imagesDir, 'inventory.img')).ino).toBe(kept);
    await exec('podman', ['kill', '--signal', 'KILL', name]);
    await exec('podman', ['wait', name]);
    await restoreContainer({ name });
    expect(await checksum()).toBe(before);
  });

  it('keeps an earlier checkpoint that a killed run had set aside', async () => {
    const before = await start('parallel');
    const { imagesDir = '' } = await checkpointContainer({ name, leaveRunning: true });
    const kept = statSync(join(imagesDir, 'inventory.img')).ino;
    renameSync(imagesDir, `${imagesDir}.previous`);
    mkdirSync(imagesDir);
    writeFileSync(join(imagesDir, 'pages-1.img'), 'half of a dump');
    await checkpointContainer({ name, leaveRunning: true, exportTo: join(machine.dir, 'export.tar') });
    expect(statSync(join(imagesDir, 'inventory.img')).ino).toBe(kept);
    expect(existsSync(`${imagesDir}.previous`)).toBe(false);
    expect(await checksum()).toBe(before);
  });

  it('keeps its checkpoint when only the report about it fails', async () => {
    const before = await start('parallel');
    scriptOnPath('podman', `[ "$2" = checkpoint ] && exec >/dev/null; exec ${podmanPath} "$@"`);
    await expect(checkpointContainer({ name })).rejects.toThrow('statistics have an unknown format');
    expect(await isRunning()).toBe(false);
    await restoreContainer({ name });
    expect(await checksum()).toBe(before);
  });

  it('keeps its checkpoint when it has ended but the tar file cannot be written', async () => {
    const before = await start('parallel');
    const exportTo = join(machine.dir, 'none', 'export.tar');
    await expect(checkpointContainer({ name, exportTo })).rejects.toMatchObject({
      code: 'ERR_CONTAINER_CHECKPOINT',
      message: expect.stringContaining(`${name} has ended, and its checkpoint is in`) as string,
      hint: `criu-cuda container restore ${name}`,
    });
    await restoreContainer({ name });
    expect(await checksum()).toBe(before);
  });

  it('is not restored from damaged device memory, and keeps its checkpoint', async () => {
    await start('parallel');
    const { imagesDir = '' } = await checkpointContainer({ name });
    const stripe = readdirSync(imagesDir).find((file) => /^cuda-\d+-0\.img$/.test(file)) ?? '';
    await exec('dd', [
      'if=/dev/urandom',
      `of=${join(imagesDir, stripe)}`,
      'bs=4k',
      'count=1',
      'conv=notrunc',
    ]);
    await expect(restoreContainer({ name })).rejects.toMatchObject({ code: 'ERR_CONTAINER_RESTORE' });
    await waitFor(async () => {
      expect(await isRunning()).toBe(false);
    });
    expect(existsSync(join(imagesDir, 'inventory.img'))).toBe(true);
  });
});

describe('a tar file', () => {
  it('restores a removed container, including GPU images', async () => {
    const before = await start('parallel');
    const tar = join(machine.dir, 'golden.tar');
    const dumped = await checkpointContainer({ name, exportTo: tar });
    expect(dumped).toMatchObject({ imagesDir: undefined, exportedTo: tar, bytes: statSync(tar).size });
    expect(dumped.bytes).toBeGreaterThan(24 * 2 ** 20);
    await removeContainer(name);
    expect(await findContainer(name)).toBeUndefined();

    const from = { importFrom: tar, name: `${name}-2`, variant: 'parallel', ignoreStaticIp: true };
    await expect(restoreContainer(from)).rejects.toThrow("- namespaces: it has the host's network namespace");
    expect(await findContainer(`${name}-2`)).toBeUndefined();
    await restoreContainer({ ...from, preset: 'python-server' });
    expect(await isRunning(`${name}-2`)).toBe(true);
    expect(await checksum()).toBe(before);
  });

  it('creates a container whose removal keeps the checkpoint of the first one, and files of others', async () => {
    const store = join(machine.dir, 'store');
    const command = ['/bin/workload-pattern', '--alloc', '4M', '--host', '16M', '--socket', socketPath];
    await createContainer({ name, image, command, variant: 'parallel', gpu: 'none', store });
    const before = await checksum();
    const tar = join(machine.dir, 'export.tar');
    await checkpointContainer({ name, leaveRunning: true, exportTo: tar });
    await checkpointContainer({ name });
    await restoreContainer({
      importFrom: tar,
      name: `${name}-2`,
      variant: 'parallel',
      ignoreStaticIp: true,
      store,
    });
    expect(await checksum()).toBe(before);
    await removeContainer(`${name}-2`);
    await restoreContainer({ name, keep: true });
    expect(await checksum()).toBe(before);
    writeFileSync(join(store, name, 'notes.txt'), 'mine');
    await removeContainer(name);
    expect(readdirSync(join(store, name))).toEqual(['notes.txt']);
  });

  it('that is still being read when the caller aborts leaves nothing behind', async () => {
    const importFrom = join(machine.dir, 'export.tar');
    const pipe = join(machine.dir, 'pipe');
    writeFileSync(importFrom, '');
    await exec('mkfifo', [pipe]);
    scriptOnPath('tar', `echo > ${pipe}; exec sleep 600`);
    const scratch = join(machine.dir, 'tmp');
    mkdirSync(scratch);
    vi.stubEnv('TMPDIR', scratch);
    const caller = new AbortController();
    const reason = new Error('enough');
    const restored = restoreContainer({ importFrom, variant: 'parallel', signal: caller.signal });
    const failure = expect(restored).rejects.toMatchObject({ cause: reason });
    await readFile(pipe);
    caller.abort(reason);
    await failure;
    expect(readdirSync(scratch)).toEqual([]);
  });
});

describe('a CDI device', () => {
  it('gives a container the same as our own flags', async () => {
    const file = `/var/run/cdi/${name}.json`;
    mkdirSync('/var/run/cdi', { recursive: true });
    // of a separate kind, so that it does not conflict with the machine's
    writeCdi(file, { ...cdiSpec(containerEdits(true)), kind: 'criu-cuda-test/checkpoint' });
    try {
      const limits = limitFlags('CapEff: 0', readFileSync('/proc/self/limits', 'utf8'), 32_768);
      const flags = ['--detach', '--name', name, '--runtime', 'runc', '--network', 'host', ...limits];
      const words = ['/bin/workload-pattern', '--alloc', '8Mx3', '--socket', socketPath];
      await exec('podman', ['run', ...flags, '--device', 'criu-cuda-test/checkpoint=all', image, ...words]);
    } finally {
      rmSync(file);
    }
    const before = await checksum();
    const { imagesDir = '' } = await checkpointContainer({ name, variant: 'parallel' });
    expect(readdirSync(imagesDir).some((one) => /^cuda-\d+\.img$/.test(one))).toBe(true);
    await restoreContainer({ name, variant: 'parallel' });
    expect(await checksum()).toBe(before);
  });
});

describe('the criu that podman runs', () => {
  it('is the requested one, with the settings of the caller', async () => {
    await start('parallel');
    const criu = join(machine.dir, 'criu');
    const seen = join(machine.dir, 'seen');
    writeFileSync(criu, `#!/bin/sh\nenv > ${seen}\nexec ${criuProgram()} "$@"\n`, { mode: 0o755 });
    vi.stubEnv('CRIU_CUDA_STREAMS', '2');
    const { imagesDir = '' } = await checkpointContainer({ name, criu });
    // one stripe per transfer thread
    expect(readdirSync(imagesDir).filter((file) => /^cuda-\d+-\d+\.img$/.test(file))).toHaveLength(2);
    const environment = (await exec('cat', [seen])).stdout.split('\n');
    expect(environment).toContain('CRIU_CUDA_STREAMS=2');
    expect(environment).toContain(`CRIU_LIBS_DIR=${variantDir('parallel')}`);
    expect(environment).toContain(`CRIU_CUDA_RUN_DIR=${machine.runDir}`);
  });
});

describe('wrong use', () => {
  it('names what is wrong', async () => {
    await expect(checkpointContainer({ name })).rejects.toThrow(`there is no container ${name}`);
    await expect(restoreContainer({})).rejects.toThrow('name a container, or pass --import FILE');
    await expect(restoreContainer({ importFrom: '/none.tar' })).rejects.toThrow('/none.tar does not exist');
    await start('stock');
    await expect(restoreContainer({ name })).rejects.toThrow('is already running');
    await expect(checkpointContainer({ name, store: '/a', exportTo: '/b' })).rejects.toThrow('not both');
    await exec('podman', ['kill', '--signal', 'KILL', name]);
    await exec('podman', ['wait', name]);
    await expect(checkpointContainer({ name })).rejects.toThrow('is not running');
    await expect(restoreContainer({ name })).rejects.toThrow('has no checkpoint in');
  });
});
