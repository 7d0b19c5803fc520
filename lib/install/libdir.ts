// SPDX-License-Identifier: MIT
/**
 * Where criu looks for plugins.
 * @module
 */
import { pluginDirectories, type Environment } from '../paths.ts';
import { findCriu, type System } from '../machine/index.ts';

const DEFAULT_DIR = pluginDirectories[0];

/** The directory compiled into a criu program, from its help text. */
export function parseCompiledLibdir(help: string): string | undefined {
  const dir = /--libdir\s.*\(by default\s+([^)\s]+)\s*\)/.exec(help)?.[1];
  return dir === undefined || dir === '/' ? dir : dir.replace(/\/+$/, '');
}

export async function compiledLibdir(system: System, criuPath: string): Promise<string | undefined> {
  const { stdout, stderr } = await system.run(criuPath, ['--help'], { timeoutMs: 10_000 });
  return parseCompiledLibdir(stdout || stderr);
}

/** The default directory to install into: the one that criu uses. */
export async function defaultLibdir(system: System, env: Environment = system.env): Promise<string> {
  if (env.CRIU_LIBS_DIR !== undefined && env.CRIU_LIBS_DIR !== '') return env.CRIU_LIBS_DIR;
  const { criu } = await findCriu(system, { check: false });
  return (criu && (await compiledLibdir(system, criu.path))) ?? DEFAULT_DIR;
}
