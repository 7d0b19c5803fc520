// SPDX-License-Identifier: MIT
/**
 * Reads apt's source lists, in both formats, to find the Debian mirrors of this machine.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One archive of apt's source lists. */
export interface AptSource {
  types: string[];
  uris: string[];
  suites: string[];
  components: string[];
  /** The `Signed-By` value, as written. */
  signedBy: string | undefined;
}

const words = (text: string | undefined): string[] => (text ?? '').split(/\s+/).filter((word) => word !== '');

/** Fields of one stanza; keys in lower case, continuation lines joined by newlines. */
function parseStanza(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#') || line.trim() === '') continue;
    if (/^\s/.test(line)) {
      if (last !== undefined) fields.set(last, `${fields.get(last) ?? ''}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon === -1) continue;
    last = line.slice(0, colon).trim().toLowerCase();
    fields.set(last, line.slice(colon + 1).trim());
  }
  return fields;
}

/** The deb822 format of `*.sources` files. */
export function parseDeb822(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.replaceAll('\r', '').split(/\n\s*\n/)) {
    const fields = parseStanza(stanza);
    if (!fields.has('uris') || /^(no|false|without|off|disable)$/i.test(fields.get('enabled') ?? ''))
      continue;
    sources.push({
      types: words(fields.get('types')),
      uris: words(fields.get('uris')),
      suites: words(fields.get('suites')),
      components: words(fields.get('components')),
      signedBy: fields.get('signed-by'),
    });
  }
  return sources;
}

/** The one-line format of `sources.list` and `*.list` files. */
export function parseOneLine(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) continue;
    const [, type = '', options = '', uri = '', suite = '', components = ''] = match;
    sources.push({
      types: [type],
      uris: [uri],
      suites: [suite],
      components: words(components),
      signedBy: /(?:^|\s)signed-by=(\S+)/.exec(options)?.[1],
    });
  }
  return sources;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // apt itself ignores a missing list
  }
}

function listOrEmpty(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** All archives of one apt configuration directory. @param aptDir usually `/etc/apt` */
export function readAptSources(aptDir = '/etc/apt'): AptSource[] {
  const parts = join(aptDir, 'sources.list.d');
  return [
    ...parseOneLine(readOrEmpty(join(aptDir, 'sources.list'))),
    ...listOrEmpty(parts).flatMap((name) => {
      if (name.endsWith('.sources')) return parseDeb822(readOrEmpty(join(parts, name)));
      return name.endsWith('.list') ? parseOneLine(readOrEmpty(join(parts, name))) : [];
    }),
  ];
}

/**
 * Addresses of Debian's main archive, likeliest first: the sources with the machine's own release and component main,
 * except the security archive and those signed with another key.
 */
export function debianMirrors(sources: readonly AptSource[], codename: string): string[] {
  const score = (uri: string): number => (/\/debian\/?$/.test(uri) ? 0 : 1);
  const uris = sources
    .filter(
      (source) =>
        source.suites.includes(codename) &&
        source.components.includes('main') &&
        (source.signedBy === undefined || source.signedBy.includes('debian-archive')),
    )
    .flatMap((source) => source.uris)
    .filter((uri) => !uri.includes('security'));
  return [...new Set(uris)].sort((a, b) => score(a) - score(b));
}
