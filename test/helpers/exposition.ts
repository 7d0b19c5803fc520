// SPDX-License-Identifier: MIT
/**
 * Reads the text format of Prometheus, version 0.0.4, and rejects what Prometheus rejects or misreads:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export interface Family {
  type: string;
  help: string;
  samples: { labels: Record<string, string>; value: number }[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\["\\\\n])*)"';
const VALUE = '[+-]?(?:\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?|Inf)|NaN';
const sampleLine = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (${VALUE})$`, 'i');
const types = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

const unescape = (text: string): string =>
  text.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));

/** @throws an error naming the wrong line */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const closed = new Set<string>();
  let current = '';
  const refuse = (why: string, line: string): never => {
    throw new Error(`${why}: ${line}`);
  };
  /** Checks that all lines of a family are together. */
  const open = (name: string, line: string): Family => {
    if (name !== current && closed.has(name)) refuse('lines of a family are not together', line);
    if (name !== current) closed.add(name);
    current = name;
    const family = families.get(name) ?? { type: '', help: '', samples: [] };
    families.set(name, family);
    return family;
  };
  if (!text.endsWith('\n')) refuse('the last line does not end in a newline', text.slice(-80));
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, about = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`).exec(line) ?? [];
    if (keyword !== undefined) {
      const family = open(about, line);
      if (family.samples.length > 0) refuse('it comes after samples', line);
      if (keyword === 'TYPE' && !types.includes(rest)) refuse('unknown type', line);
      if (keyword === 'TYPE' && family.type !== '') refuse('a second TYPE', line);
      if (keyword === 'HELP' && family.help !== '') refuse('a second HELP', line);
      if (keyword === 'HELP' && /\\(?![\\n])/.test(rest)) refuse('a backslash that escapes nothing', line);
      if (keyword === 'TYPE') family.type = rest;
      else family.help = unescape(rest);
      continue;
    }
    const match = sampleLine.exec(line);
    if (!match) refuse('neither a comment nor a sample', line);
    const [, name = '', labelText = ''] = match ?? [];
    const family = open(name, line);
    const pairs = [...labelText.matchAll(new RegExp(LABEL, 'g'))];
    const labels = Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, unescape(value)]));
    if (Object.keys(labels).length !== pairs.length) refuse('a label twice', line);
    if (family.samples.some((one) => JSON.stringify(one.labels) === JSON.stringify(labels))) {
      refuse('a sample twice', line);
    }
    family.samples.push({ labels, value: Number(match?.at(-1)?.replace(/inf/i, 'Infinity')) });
  }
  return families;
}
