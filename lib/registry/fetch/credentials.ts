// SPDX-License-Identifier: MIT
/**
 * Passwords for registries, in the files that skopeo, podman and docker write (containers-auth.json(5)).
 * @module
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Environment } from '../../paths.ts';

const schema = z.object({
  auths: z
    .record(z.string(), z.object({ auth: z.string().optional(), identitytoken: z.string().optional() }))
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

/** What the files have for a repository: a password, nothing, or something that only skopeo knows how to use. */
export type Credentials = { kind: 'basic'; authorization: string } | { kind: 'none' } | { kind: 'other' };

/** The files, in the order in which skopeo looks at them. */
export function authFiles(authFile: string | undefined, env: Environment): string[] {
  const named = authFile ?? env.REGISTRY_AUTH_FILE;
  if (named !== undefined && named !== '') return [named];
  const home = env.HOME ?? homedir();
  const uid = process.getuid?.() ?? 0;
  return [
    env.XDG_RUNTIME_DIR === undefined
      ? `/run/containers/${uid}/auth.json`
      : join(env.XDG_RUNTIME_DIR, 'containers/auth.json'),
    join(env.XDG_CONFIG_HOME ?? join(home, '.config'), 'containers/auth.json'),
    join(env.DOCKER_CONFIG ?? join(home, '.docker'), 'config.json'),
  ];
}

/** The names that an entry for a repository may have, the closest first: `host/a/b`, `host/a`, `host`. */
function namesOf(registry: string, repository: string): string[] {
  const parts = repository.split('/');
  return [
    ...parts.map((_, index) => [registry, ...parts.slice(0, parts.length - index)].join('/')),
    registry,
  ];
}

function readAuth(path: string): z.infer<typeof schema> | undefined | 'unreadable' {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return 'unreadable';
  }
}

/** Looks for the password of a repository. */
export function findCredentials(registry: string, repository: string, files: readonly string[]): Credentials {
  for (const path of files) {
    const found = readAuth(path);
    if (found === undefined) continue;
    if (found === 'unreadable') return { kind: 'other' };
    if (found.credHelpers?.[registry] !== undefined || found.credsStore !== undefined)
      return { kind: 'other' };
    for (const name of namesOf(registry, repository)) {
      const entry = found.auths?.[name];
      if (entry === undefined) continue;
      const { auth, identitytoken } = entry;
      if (identitytoken !== undefined || auth === undefined || !/^[\w+/]+=*$/.test(auth))
        return { kind: 'other' };
      return { kind: 'basic', authorization: `Basic ${auth}` };
    }
    // docker writes entries such as https://registry.example.com/v1/
    const addresses = [`https://${registry}`, `http://${registry}`];
    const names = Object.keys(found.auths ?? {});
    if (names.some((name) => addresses.some((one) => `${name}/`.startsWith(`${one}/`))))
      return { kind: 'other' };
  }
  return { kind: 'none' };
}
