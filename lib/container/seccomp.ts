// SPDX-License-Identifier: MIT
/**
 * Compares the system-call filter of an archived container with the profile of this machine.
 * @module
 */
import { z } from 'zod';

const ALLOW = 'SCMP_ACT_ALLOW';

/** A profile writes a second value of 0, a runtime's filter leaves it out. */
const argumentSchema = z.object({
  index: z.number(),
  value: z.number(),
  valueTwo: z.number().default(0),
  op: z.string(),
});

const ruleSchema = z.looseObject({
  names: z.array(z.string()),
  action: z.string(),
  args: z.array(argumentSchema).nullish(),
});

/** A filter as the runtime gets it. */
export const seccompSchema = z.looseObject({
  defaultAction: z.string(),
  syscalls: z.array(ruleSchema).nullish(),
});

const conditions = z.looseObject({ caps: z.array(z.string()).nullish() }).nullish();
const profileSchema = z.looseObject({
  defaultAction: z.string(),
  syscalls: z.array(ruleSchema.extend({ includes: conditions, excludes: conditions })),
});

type Filter = z.infer<typeof seccompSchema>;

/** A call that is allowed, and for which arguments. */
const keyOf = (name: string, { args }: z.infer<typeof ruleSchema>): string =>
  args === undefined || args === null || args.length === 0 ? name : `${name} ${JSON.stringify(args)}`;

function allowedBy(profile: string, capabilities: readonly string[]): { action: string; calls: Set<string> } {
  const { defaultAction, syscalls } = profileSchema.parse(JSON.parse(profile));
  const has = (caps: readonly string[] | null | undefined): string[] =>
    (caps ?? []).filter((one) => capabilities.includes(one));
  const rules = syscalls.filter(
    (rule) =>
      rule.action === ALLOW &&
      has(rule.includes?.caps).length === (rule.includes?.caps ?? []).length &&
      has(rule.excludes?.caps).length === 0,
  );
  return {
    action: defaultAction,
    calls: new Set(rules.flatMap((rule) => rule.names.map((name) => keyOf(name, rule)))),
  };
}

/**
 * What a filter allows beyond a profile.
 * @param profile text of podman's profile
 * @param capabilities those that a container has; some rules depend on them
 */
export function seccompDifferences(
  filter: Filter | undefined,
  profile: string,
  capabilities: readonly string[],
): string[] {
  if (!filter) return ['seccomp: it has no filter of system calls'];
  const expected = allowedBy(profile, capabilities);
  const rules = filter.syscalls ?? [];
  const more = rules
    .filter((rule) => !/^SCMP_ACT_(ERRNO|KILL|KILL_PROCESS|KILL_THREAD|TRAP)$/.test(rule.action))
    .flatMap((rule) => rule.names.filter((name) => !allows(expected.calls, name, rule)));
  return [
    ...(filter.defaultAction === expected.action
      ? []
      : [`seccomp: what is not named is ${filter.defaultAction} instead of ${expected.action}`]),
    ...(more.length === 0 ? [] : [`seccomp: it allows ${[...new Set(more)].join(', ')}`]),
  ];
}

/** A call without conditions also covers the same call with some. */
function allows(calls: ReadonlySet<string>, name: string, rule: z.infer<typeof ruleSchema>): boolean {
  return rule.action === ALLOW && (calls.has(name) || calls.has(keyOf(name, rule)));
}
