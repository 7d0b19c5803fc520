// SPDX-License-Identifier: MIT
/**
 * Slurm with one controller and nodes that are as much machines of their own as namespaces allow: own processes, network, mounts and
 * host name, own software GPUs, own pool daemon. The real munged, slurmctld, slurmd; examples/slurm for the rest.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot, softcudaLibrary } from '../../../lib/paths.ts';
import { readChildren } from '../../../lib/process/index.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { waitFor } from '../../helpers/wait.ts';

export const NODES = ['n1', 'n2', 'n3'] as const;
export const GPUS_PER_NODE = 4;
/** Until all nodes are idle. A node starts its pool daemon first. */
const START_MS = 120_000;

/** The controller's namespaces: the bridge, munged and slurmctld; and a child for each node. `$1` is the directory. */
const CLUSTER = `
cd "$1"
hostname ctl
mount -t tmpfs none /run
ip link set lo up
ip link add slurm type bridge
ip address add 10.0.0.1/24 dev slurm
ip link set slurm up
munged --foreground --key-file="$1/munge/key" --socket="$1/munge/socket" --pid-file="$1/munge/pid" \\
  --log-file="$1/log/munged" --seed-file="$1/munge/seed" &
address=2
for node in ${NODES.join(' ')}; do
  ip netns add $node
  ip link add $node type veth peer name eth0 netns $node
  ip link set $node master slurm up
  ip -netns $node address add 10.0.0.$address/24 dev eth0
  ip -netns $node link set eth0 up
  ip -netns $node link set lo up
  address=$((address + 1))
  nsenter --net=/run/netns/$node unshare --pid --mount --uts --fork --kill-child --mount-proc \\
    sh -euc '
      hostname $2
      mount -t tmpfs none /run
      mount -t tmpfs none "$1/node"
      criu-cuda pool start
      slurmd -D -N $2
      true' sh "$1" $node > log/$node.out 2>&1 &
  echo $! > $node.pid
done
until [ -S munge/socket ]; do sleep 0.1; done
slurmctld -D > log/slurmctld.out 2>&1 &
read -r end
`;

const nodeLines = (gpus: string): string[] =>
  NODES.map(
    (name, index) => `NodeName=${name} NodeAddr=10.0.0.${index + 2} CPUs=${GPUS_PER_NODE} Gres=${gpus}`,
  );

/** Which of the programs cannot be run here. */
export async function missingForSlurm(): Promise<string | undefined> {
  const programs = ['munged', 'slurmctld', 'slurmd', 'srun', 'ip'];
  const found = await Promise.all(programs.map((name) => execResult('sh', ['-c', `command -v ${name}`])));
  const missing = programs.filter((_, index) => found[index]?.exitCode !== 0);
  if (missing.length > 0) return `Slurm needs ${missing.join(', ')}, which is not installed`;
  const script = 'mount -t tmpfs none /run && ip netns add n1 && ip link add slurm type bridge';
  const words = ['--net', '--mount', '--uts', 'sh', '-c', script];
  const { exitCode, stderr } = await execResult('unshare', words);
  return exitCode === 0
    ? undefined
    : `slurmd needs network namespaces, which cannot be created here: ${stderr.trim()}`;
}

export class SlurmCluster {
  /** Seen by every node. `node` in it is each node's own. */
  readonly dir: string;
  readonly env: Record<string, string>;
  #init: ChildProcess | undefined;
  #initPid = 0;

  constructor() {
    // not below /tmp, /run or /dev/shm, which are private in an isolated copy
    this.dir = mkdtempSync('/var/tmp/criu-cuda-slurm-');
    chmodSync(this.dir, 0o755);
    for (const name of ['bin', 'etc', 'log', 'munge', 'node', 'out', 'state'])
      mkdirSync(join(this.dir, name));
    writeLauncher(join(this.dir, 'bin'));
    writeFileSync(join(this.dir, 'etc', 'cuda.conf'), '# nothing is set\n');
    this.env = {
      PATH: `${join(this.dir, 'bin')}:${process.env.PATH ?? ''}`,
      HOME: process.env.HOME ?? '/root',
      SLURM_CONF: join(this.dir, 'etc', 'slurm.conf'),
      CRIU_CUDA_CONFIG: join(this.dir, 'etc', 'cuda.conf'),
      CRIU_CUDA_CRIU: criuProgram(),
      CRIU_CUDA_DRIVER: softcudaLibrary(),
      CRIU_CUDA_RUN_DIR: join(this.dir, 'node', 'run'),
      SOFTCUDA_DIR: join(this.dir, 'node', 'devices'),
      SOFTCUDA_DEVICES: String(GPUS_PER_NODE),
      SOFTCUDA_MEMORY_MB: '256',
    };
  }

  get imagesDir(): string {
    return join(this.dir, 'golden');
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  async #configure(): Promise<void> {
    const etc = (name: string): string => join(this.dir, 'etc', name);
    for (const name of ['prolog.sh', 'epilog.sh', 'golden.sh'])
      copyFileSync(join(projectRoot, 'examples/slurm', name), etc(name));
    // what /etc/criu/cuda.conf and the PATH of a node have
    const exported = Object.entries(this.env).map(([name, value]) => `export ${name}='${value}'\n`);
    writeFileSync(etc('golden.conf'), `${exported.join('')}golden_images() { echo ${this.imagesDir}; }\n`);
    const example = readFileSync(join(projectRoot, 'examples/slurm/slurm.conf'), 'utf8');
    const own = [
      ...['ClusterName=test', 'SlurmctldHost=ctl(10.0.0.1)', 'SlurmUser=root', 'MailProg=/bin/true'],
      ...['AuthType=auth/munge', `AuthInfo=socket=${this.path('munge/socket')}`, 'CredType=cred/munge'],
      ...[`StateSaveLocation=${this.path('state')}`, `SlurmdSpoolDir=${this.path('node/spool')}`],
      ...[`SlurmctldPidFile=${this.path('slurmctld.pid')}`, `SlurmdPidFile=${this.path('node/slurmd.pid')}`],
      ...[`SlurmctldLogFile=${this.path('log/slurmctld')}`, `SlurmdLogFile=${this.path('log/%n')}`],
      // no cgroups: a machine for tests has no systemd that would give slurmd one
      ...[
        'ProctrackType=proctrack/linuxproc',
        'TaskPlugin=task/none',
        'JobAcctGatherType=jobacct_gather/none',
      ],
      ...['SlurmdParameters=config_overrides', 'SelectTypeParameters=CR_Core', 'MpiDefault=none'],
      // on a busy machine nothing may be given up early
      ...['SlurmdTimeout=600', 'MessageTimeout=60', 'TCPTimeout=60', 'BatchStartTimeout=300'],
      ...['UnkillableStepTimeout=300', 'ReturnToService=2'],
      ...['SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0'],
      ...nodeLines(`gpu:${GPUS_PER_NODE}`),
      'PartitionName=gpu Nodes=ALL Default=YES State=UP',
    ];
    const adapted = example.replaceAll('/etc/slurm/', `${this.path('etc')}/`);
    writeFileSync(etc('slurm.conf'), `${adapted}${own.join('\n')}\n`);
    writeFileSync(etc('cgroup.conf'), 'CgroupPlugin=cgroup/v1\n');
    // of regular files, Slurm makes no CUDA_VISIBLE_DEVICES; these are /dev/null
    for (let gpu = 0; gpu < GPUS_PER_NODE; gpu += 1)
      await exec('mknod', [this.path(`gpu${gpu}`), 'c', '1', '3']);
    writeFileSync(
      etc('gres.conf'),
      `NodeName=n[1-3] Name=gpu File=${this.dir}/gpu[0-${GPUS_PER_NODE - 1}]\n`,
    );
    const key = ['--create', '--keyfile', this.path('munge/key')];
    await exec('mungekey', key);
    chmodSync(this.path('munge'), 0o755); // the socket is for every user
  }

  async start(): Promise<void> {
    await this.#configure();
    const namespaces = ['--net', '--mount', '--pid', '--uts', '--fork', '--kill-child', '--mount-proc'];
    const log = this.path('log/cluster');
    this.#init = spawn(
      'unshare',
      [...namespaces, 'sh', '-euc', `exec 2>"${log}"\n${CLUSTER}`, 'sh', this.dir],
      {
        env: this.env,
        stdio: ['pipe', 'ignore', 'ignore'],
      },
    );
    const unsharePid = this.#init.pid ?? 0;
    await waitFor(
      async () => {
        [this.#initPid = 0] = readChildren(unsharePid);
        const { stdout } = await this.run('sinfo', '--noheader', '--Node', '--format=%t');
        const idle = stdout.split('\n').filter((state) => state.trim() === 'idle');
        if (idle.length !== NODES.length) throw new Error(`nodes: ${stdout}\n${this.logs()}`);
      },
      { timeout: START_MS, interval: 500 },
    );
  }

  /** What the daemons wrote. */
  logs(): string {
    const names = [
      'cluster',
      'munged',
      'slurmctld.out',
      'slurmctld',
      ...NODES.flatMap((node) => [`${node}.out`, node]),
    ];
    return names
      .map((name) => {
        const { text } = this.#readLog(name);
        return `== ${name}\n${text.split('\n').slice(-12).join('\n')}`;
      })
      .join('\n');
  }

  #readLog(name: string): { text: string } {
    try {
      return { text: readFileSync(this.path(join('log', name)), 'utf8') };
    } catch {
      return { text: '' };
    }
  }

  /** A command on the controller. */
  run(...words: string[]): Promise<ExecResult> {
    return execResult('nsenter', ['--target', String(this.#initPid), '--all', ...words], {
      env: this.env,
      cwd: this.dir,
    });
  }

  /** The pid of a node's first process in this namespace; a shell, because slurmd collects no orphans. */
  #nodePid(node: string): number {
    const unsharePid = Number(readFileSync(this.path(`${node}.pid`), 'utf8'));
    const outside = readChildren(this.#initPid).find((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^NSpid:.*\t(\d+)$/m.exec(status)?.[1]) === unsharePid;
    });
    const [pid] = outside === undefined ? [] : readChildren(outside);
    if (pid === undefined) throw new Error(`${node} is not running`);
    return pid;
  }

  /** A command on a node. */
  onNode(node: string, ...words: string[]): Promise<ExecResult> {
    return execResult('nsenter', ['--target', String(this.#nodePid(node)), '--all', ...words], {
      env: this.env,
      cwd: this.dir,
    });
  }

  /** As a power failure does: every process of the node is gone at once. */
  killNode(node: string): void {
    process.kill(this.#nodePid(node), 'SIGKILL');
  }

  async close(): Promise<void> {
    const init = this.#init;
    if (init?.exitCode === null && init.signalCode === null) {
      const ended = once(init, 'exit');
      init.kill('SIGKILL');
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
