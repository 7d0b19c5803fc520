// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { debianMirrors, parseDeb822, parseOneLine, readAptSources } from '../../../lib/setup/apt-sources.ts';

const deb822 = `# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

describe('parseDeb822', () => {
  it('reads stanzas and leaves disabled ones out', () => {
    expect(parseDeb822(deb822)).toEqual([
      {
        types: ['deb', 'deb-src'],
        uris: ['http://mirror.example/debian'],
        suites: ['bookworm', 'bookworm-updates'],
        components: ['main', 'contrib'],
        signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
      },
      expect.objectContaining({ uris: ['http://mirror.example/debian-security'] }),
    ]);
  });

  it('reads a key block of more than one line, and comments inside a stanza', () => {
    const [source] = parseDeb822(
      'Types: deb\nURIs: http://a.example/x\n# why\nSuites: stable\nComponents: main\nSigned-By:\n -----BEGIN\n .\n AAAA\n',
    );
    expect(source?.suites).toEqual(['stable']);
    expect(source?.signedBy).toContain('AAAA');
  });

  it('reads more than one address, and Windows line ends', () => {
    const [source] = parseDeb822(
      'Types: deb\r\nURIs: http://a.example/debian http://b.example/debian\r\nSuites: sid\r\n',
    );
    expect(source?.uris).toEqual(['http://a.example/debian', 'http://b.example/debian']);
  });
});

describe('parseOneLine', () => {
  it('reads options, components and comments', () => {
    const text = [
      '# deb http://comment.example/debian bookworm main',
      'deb http://mirror.example/debian bookworm main contrib # trailing',
      'deb-src [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://other.example/repo bookworm main',
      'deb [ trusted=yes ] file:/srv/flat ./',
      '',
    ].join('\n');
    expect(parseOneLine(text)).toEqual([
      {
        types: ['deb'],
        uris: ['http://mirror.example/debian'],
        suites: ['bookworm'],
        components: ['main', 'contrib'],
        signedBy: undefined,
      },
      {
        types: ['deb-src'],
        uris: ['https://other.example/repo'],
        suites: ['bookworm'],
        components: ['main'],
        signedBy: '/usr/share/keyrings/other.gpg',
      },
      { types: ['deb'], uris: ['file:/srv/flat'], suites: ['./'], components: [], signedBy: undefined },
    ]);
  });
});

describe('debianMirrors', () => {
  it('uses the release of the machine from the main archive only', () => {
    expect(debianMirrors(parseDeb822(deb822), 'bookworm')).toEqual(['http://mirror.example/debian']);
  });

  it('refuses archives signed by others and puts a path named debian first', () => {
    const sources = parseOneLine(
      [
        'deb http://vendor.example/tools bookworm main',
        'deb [signed-by=/usr/share/keyrings/nodesource.gpg] http://node.example/debian bookworm main',
        'deb http://mirror.example/debian/ bookworm main',
        'deb http://mirror.example/debian/ bookworm contrib',
        'deb http://mirror.example/debian-security bookworm main',
      ].join('\n'),
    );
    expect(debianMirrors(sources, 'bookworm')).toEqual([
      'http://mirror.example/debian/',
      'http://vendor.example/tools',
    ]);
  });
});

describe('readAptSources', () => {
  it('reads sources.list and both kinds of parts, ignoring other files', () => {
    const dir = mkdtempSync(join(tmpdir(), 'ccr-apt-'));
    try {
      mkdirSync(join(dir, 'sources.list.d'));
      writeFileSync(join(dir, 'sources.list'), 'deb http://one.example/debian bookworm main\n');
      writeFileSync(join(dir, 'sources.list.d', 'two.list'), 'deb http://two.example/debian bookworm main\n');
      writeFileSync(join(dir, 'sources.list.d', 'three.sources'), deb822);
      writeFileSync(
        join(dir, 'sources.list.d', 'four.list.save'),
        'deb http://four.example/debian bookworm main\n',
      );
      expect(debianMirrors(readAptSources(dir), 'bookworm')).toEqual([
        'http://one.example/debian',
        'http://mirror.example/debian',
        'http://two.example/debian',
      ]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('is empty without apt', () => {
    expect(readAptSources('/nonexistent/apt')).toEqual([]);
  });
});
