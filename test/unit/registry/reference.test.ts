// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { isReference, parseReference } from '../../../lib/registry/reference.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('references', () => {
  it.each([
    ['registry.example.com/models/llama:warm', 'registry.example.com', 'models/llama', false],
    ['localhost/llama', 'localhost', 'llama', true],
    ['127.0.0.1:5000/a/b_c/d--e:v1', '127.0.0.1:5000', 'a/b_c/d--e', true],
    ['[::1]:5000/a:v1', '[::1]:5000', 'a', true],
    ['127.0.0.1.example.com/a:v1', '127.0.0.1.example.com', 'a', false],
    ['localhost.example.com:5000/a:v1', 'localhost.example.com:5000', 'a', false],
    [`registry.example.com/a@${DIGEST}`, 'registry.example.com', 'a', false],
  ])('%s', (text, registry, repository, isLoopback) => {
    expect(isReference(text)).toBe(true);
    expect(parseReference(text)).toMatchObject({ registry, repository, isLoopback });
  });

  it('without a tag have the tag latest', () => {
    expect(parseReference('localhost:5000/a').text).toBe('localhost:5000/a:latest');
    expect(parseReference(`localhost:5000/a@${DIGEST}`)).toMatchObject({ digest: DIGEST });
  });

  it.each([
    ['models/llama:warm', 'it does not begin with the host name of a registry'],
    ['llama', 'it does not begin with the host name of a registry'],
    ['/var/lib/images', 'it does not begin with the host name of a registry'],
    ['example.com/Llama:warm', 'a repository has lower-case letters'],
    ['example.com/a/../b:warm', 'a repository has lower-case letters'],
    ['example.com/a:-x', 'a tag has at most'],
    ['example.com/a@sha256:12', 'a digest is sha256:'],
    [`example.com/a:v1@${DIGEST}`, 'it has a tag and a digest'],
    ['example.com/--all', 'a repository has lower-case letters'],
  ])('%s is none: %s', (text, reason) => {
    expect(() => parseReference(text)).toThrow(reason);
  });

  it.each(['web', './a/b:c', '/a.b/c', 'images/today'])('%s is a name or a path', (text) => {
    expect(isReference(text)).toBe(false);
  });
});
