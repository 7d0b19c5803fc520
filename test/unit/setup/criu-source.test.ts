// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { parseMadison, sourceStanza, upstreamVersion } from '../../../lib/setup/criu-source.ts';
import { parseDeb822 } from '../../../lib/setup/apt-sources.ts';
import { compareVersions } from '../../../lib/machine/versions.ts';
import { parseOsRelease } from '../../../lib/machine/system.ts';

describe('parseMadison', () => {
  it('lists usable source versions, newest first', () => {
    const text = [
      '      criu |    3.17.1-2 | http://mirror.example/debian bookworm/main Sources',
      '      criu |    4.1.1-1 | http://mirror.example/debian trixie/main Sources',
      '      criu |    4.10.0-1 | http://mirror.example/debian sid/main Sources',
      '      criu |    4.2.1-1 | http://mirror.example/debian sid/main amd64 Packages',
      '     criux |    9.0.0-1 | http://mirror.example/debian sid/main Sources',
    ].join('\n');
    expect(parseMadison(text)).toEqual(['4.10.0-1', '4.1.1-1']);
  });
});

describe('versions', () => {
  it('strips epoch and revision', () => {
    expect(upstreamVersion('4.2.1-1')).toBe('4.2.1');
    expect(upstreamVersion('1:4.2-0.1~bpo12+1')).toBe('4.2');
  });

  it.each([
    ['4.0', '4.0', 0],
    ['4.0', '4.0.0', 0],
    ['4.2.1', '4.2', 1],
    ['3.17.1', '4.0', -1],
    ['4.10', '4.9', 1],
  ])('orders %s against %s', (a, b, sign) => {
    expect(Math.sign(compareVersions(a, b))).toBe(sign);
  });
});

describe('sourceStanza', () => {
  it('is a source list that apt can read', () => {
    expect(parseDeb822(sourceStanza('http://m.example/debian', 'sid', '/k.gpg'))).toEqual([
      {
        types: ['deb-src'],
        uris: ['http://m.example/debian'],
        suites: ['sid'],
        components: ['main'],
        signedBy: '/k.gpg',
      },
    ]);
  });
});

describe('parseOsRelease', () => {
  it('reads quoted and bare values', () => {
    const fields = parseOsRelease(
      'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\n',
    );
    expect(fields.get('ID')).toBe('debian');
    expect(fields.get('PRETTY_NAME')).toBe('Debian GNU/Linux 12 (bookworm)');
    expect(fields.get('VERSION_CODENAME')).toBe('bookworm');
  });
});
