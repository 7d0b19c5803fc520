// SPDX-License-Identifier: MIT
/**
 * Docker and containerd, which checkpoint with their own commands: whether their criu is found, and loads a plugin.
 * Both are optional, so nothing here is reported as missing.
 * @module
 */
import { engineDaemons, findOnPath, type DaemonName, type EngineDaemon } from '../machine/index.ts';
import { ask, type CheckFunction, type Machine, type MachineCheck } from './check.ts';
import { enginePlugin } from './plugins.ts';

const titles: Readonly<Record<DaemonName, string>> = { dockerd: 'Docker', containerd: 'containerd' };

const setup = 'criu-cuda container setup --variant full';

interface Problem {
  what: string;
  remedy: string;
}

async function versionOf(machine: Machine, name: string): Promise<string> {
  const { env, sbinPath } = machine.system;
  const path = findOnPath(name, env.PATH) ?? findOnPath(name, sbinPath);
  const answer = path === undefined ? undefined : await ask(machine, path, ['--version']);
  const text = answer?.exitCode === 0 ? answer.stdout : '';
  return / v?(\d+\.\d+[\w.+~-]*)/.exec(text)?.[1] ?? 'unknown version';
}

function criuProblem({ criu }: Machine['criu'], { path, pid }: EngineDaemon): Problem[] {
  const found = findOnPath('criu', path);
  if (found !== undefined) return [];
  const link = '/usr/local/sbin';
  const canLink = path.split(':').includes(link);
  const where = pid === undefined ? 'where systemd has it look' : `on the PATH of process ${pid}`;
  return [
    {
      what: `no criu ${where}`,
      remedy: canLink
        ? setup
        : `start it with a PATH that has criu: ${criu === undefined ? 'criu-cuda setup builds one' : criu.path}`,
    },
  ];
}

function problemsOf(machine: Machine, daemon: EngineDaemon, plugin: string | undefined): Problem[] {
  return [
    ...criuProblem(machine.criu, daemon),
    ...(plugin === undefined && daemon.libsDir === undefined
      ? [{ what: 'its criu loads no CUDA plugin', remedy: setup }]
      : []),
    ...(daemon.name === 'dockerd' && !daemon.isExperimental
      ? [{ what: 'without experimental features, which docker checkpoint needs', remedy: setup }]
      : []),
  ];
}

/** One check for each daemon that is installed or runs. */
export const checkEngines: CheckFunction = async (machine) => {
  const daemons = engineDaemons(machine.system, machine.root);
  if (daemons.length === 0) return [];
  const plugin = await enginePlugin(machine);
  return Promise.all(
    daemons.map(async (daemon): Promise<MachineCheck> => {
      const problems = problemsOf(machine, daemon, plugin);
      const version = await versionOf(machine, daemon.name);
      const base = {
        id: daemon.name,
        title: titles[daemon.name],
        found: [version, ...problems.map(({ what }) => what)].join(', '),
      };
      if (problems.length === 0) return { ...base, status: 'ok' };
      const remedies = [...new Set(problems.map(({ remedy }) => remedy))];
      const restart = daemon.pid === undefined || !remedies.includes(setup) ? [] : [`restart ${daemon.name}`];
      return { ...base, status: 'warning', remedy: [...remedies, ...restart].join('; then ') };
    }),
  );
};
