// SPDX-License-Identifier: MIT
/**
 * Which images this machine accepts (containers-policy.json(5)). Only skopeo knows how to check signatures.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Environment } from '../../paths.ts';
import type { Reference } from '../reference.ts';

const requirements = z.array(z.object({ type: z.string() }));
const schema = z.object({
  default: requirements,
  transports: z.record(z.string(), z.record(z.string(), requirements)).optional(),
});

/** The policy that skopeo uses. @returns `undefined`: the machine has none */
export function policyFile(env: Environment): string | undefined {
  const home = env.HOME ?? homedir();
  const files = [join(home, '.config/containers/policy.json'), '/etc/containers/policy.json'];
  return files.find((path) => existsSync(path));
}

/** Whether the policy may want anything of an image of a registry, such as a signature. */
export function isRestricted({ registry }: Reference, env: Environment): boolean {
  const path = policyFile(env);
  if (path === undefined) return false;
  let policy: z.infer<typeof schema>;
  try {
    policy = schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return true; // skopeo says what is wrong
  }
  const scopes = Object.entries(policy.transports?.docker ?? {}).filter(
    ([scope]) =>
      scope === '' || scope.startsWith('*.') || scope === registry || scope.startsWith(`${registry}/`),
  );
  const wanted = [...policy.default, ...scopes.flatMap(([, list]) => list)];
  return wanted.some(({ type }) => type !== 'insecureAcceptAnything');
}
