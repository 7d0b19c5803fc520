// SPDX-License-Identifier: MIT
/**
 * Runs the storm with real processes: a registry and nodes in network namespaces with links of a known rate. Runs itself again in
 * namespaces of its own, in which it is the init: its end ends everything.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compare, type Comparison, type RealCase, type RealConfig } from './cases.ts';
import { createNetwork, onHost, type Host } from './network.ts';
import type { NodeConfig, NodeReport } from './node.ts';

const here = fileURLToPath(import.meta.url);
const loader = fileURLToPath(new URL('../../../scripts/typescript.mjs', import.meta.url));
const script = (name: string): string[] => [
  process.execPath,
  '--import',
  loader,
  fileURLToPath(new URL(name, import.meta.url)),
];

/** A program on a host, and the lines that it prints. */
class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string, undefined>;
  readonly #words: string;

  constructor(host: Host, words: readonly string[]) {
    const [file = '', ...args] = [...onHost(host), ...words];
    this.#words = words.join(' ');
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line, as JSON. @throws Error when the program ends without one */
  async read<T>(): Promise<T> {
    const line: IteratorResult<string, undefined> = await this.#lines.next();
    if (line.done === true) throw new Error(`${this.#words} has ended`);
    return JSON.parse(line.value) as T;
  }

  write(value: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(value)}\n`);
  }

  end(): void {
    this.#child.stdin?.end();
  }
}

/** Where the namespaces' own tmpfs is. */
const IMAGE = '/run/image';

async function runCase(
  config: RealConfig,
  { policy, nodes }: RealConfig['cases'][number],
  [registryHost, ...hosts]: readonly Host[],
): Promise<Omit<RealCase, 'sha256'>> {
  if (registryHost === undefined) throw new Error('the network has no hosts');
  const registryWords = [IMAGE, String(config.chunkBytes), registryHost.address];
  const registry = new Program(registryHost, [...script('registry.ts'), ...registryWords]);
  const { url } = await registry.read<{ url: string }>();
  const programs = hosts.slice(0, nodes).map((host, index) => {
    const { imageBytes, chunkBytes, window, fanOut } = config;
    const own: NodeConfig = {
      ...{ index, nodes, policy, host: host.address, registry: url },
      ...{ imageBytes, chunkBytes, window, fanOut },
    };
    return new Program(host, [...script('node.ts'), JSON.stringify(own)]);
  });
  const started = await Promise.all(programs.map((program) => program.read<{ url: string }>()));
  const urls = started.map((program) => program.url);
  for (const program of programs) program.write(urls);
  const reports = await Promise.all(programs.map((program) => program.read<NodeReport>()));
  for (const program of [...programs, registry]) program.end();
  return { policy, nodes, reports };
}

/** Inside of the namespaces. */
async function runCases(config: RealConfig): Promise<Comparison[]> {
  const most = Math.max(...config.cases.map(({ nodes }) => nodes));
  const hosts = Array.from({ length: most + 1 }, (_, index) => ({
    name: index === 0 ? 'registry' : `node${index}`,
    address: `10.0.0.${index + 1}`,
    bitsPerS: index === 0 ? config.registryBitsPerS : config.nodeBitsPerS,
  }));
  createNetwork(hosts);
  const image = randomBytes(config.imageBytes);
  writeFileSync(IMAGE, image);
  const sha256 = createHash('sha256').update(image).digest('hex');
  const compared: Comparison[] = [];
  for (const one of config.cases)
    compared.push(compare(config, { ...(await runCase(config, one, hosts)), sha256 }));
  return compared;
}

/** Runs the cases one after the other. Needs root, `ip` and `tc`. */
export async function measureStorm(config: RealConfig, signal?: AbortSignal): Promise<Comparison[]> {
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const words = [...namespaces, ...script('measure.ts'), JSON.stringify(config)];
  const { stdout } = await promisify(execFile)('unshare', words, { signal });
  return JSON.parse(stdout) as Comparison[];
}

if (process.argv[1] === here) {
  const compared = await runCases(JSON.parse(process.argv[2] ?? '') as RealConfig);
  console.log(JSON.stringify(compared));
  process.exit();
}
