// SPDX-License-Identifier: MIT
/** An inference server with wrong answers. */
import { once } from 'node:events';
import { createServer, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Server, tokenRate } from '../../../lib/server/index.ts';

/** The requests, in order: `GET /health`. */
let asked: string[];
let bodies: string[];
let http: HttpServer;
let url: string;
let routes: Record<string, (response: ServerResponse) => void>;

beforeEach(async () => {
  [asked, bodies, routes] = [[], [], {}];
  http = createServer((request, response) => {
    const route = `${request.method} ${request.url}`;
    asked.push(route);
    let body = '';
    request.setEncoding('utf8').on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      bodies.push(body);
      (routes[route] ?? ((missing) => missing.writeHead(404).end('no such page')))(response);
    });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});
afterEach(() => {
  http.close();
});

const reply = (status: number, text: string) => (response: ServerResponse) =>
  void response.writeHead(status).end(text);
const completion = JSON.stringify({ choices: [{ text: 'Paris' }] });

describe('a request', () => {
  it.each([
    ['is not known', 404, 'no such page', 'answered 404: no such page'],
    ['fails', 500, completion, 'answered 500: Paris'],
    ['closes the connection', 200, '', 'answered 200: nothing'],
    ['has no content', 204, '', 'answered 204: nothing'],
  ])('that %s is an error with the address and the status', async (_what, status, text, said) => {
    routes['POST /v1/completions'] = reply(status, text);
    const failure = new Server({ url, body: {} }).ask();
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_SERVER',
      message: `${url}/v1/completions ${said}`,
      hint: expect.stringContaining('--request-path') as string,
    });
  });

  it.each([
    [
      'counts the pieces of a stream',
      'text/event-stream',
      ['a', 'b', ''].map((text) => `data: {"choices":[{"text":"${text}"}]}\n\n`).join(''),
      2,
    ],
    [
      'takes the count of the server in a stream',
      'text/event-stream',
      'data: {"choices":[{"text":"ab"}]}\n\ndata: {"choices":[{"text":""}],"usage":{"completion_tokens":7}}\n\n',
      7,
    ],
    [
      'takes the count of the server',
      'application/json',
      '{"choices":[{"text":"a"}],"usage":{"completion_tokens":8}}',
      8,
    ],
    ['does not guess', 'application/json', completion, undefined],
  ])('%s for tokens per second', async (_what, type, text, tokens) => {
    routes['POST /v1/completions'] = (response) =>
      void response.writeHead(200, { 'content-type': type }).end(text);
    const answer = await new Server({ url, body: {} }).ask();
    expect(answer.tokens).toBe(tokens);
    const rate = tokens === undefined ? undefined : (tokens / answer.durationMs) * 1000;
    expect(tokenRate(answer)).toBe(rate);
  });

  it('goes to the path and with the body that were given', async () => {
    routes['POST /else'] = reply(200, completion);
    const answer = await new Server({ url, requestPath: '/else', body: { a: 1 } }).ask();
    expect(answer).toMatchObject({ status: 200, text: 'Paris' });
    expect([asked, bodies]).toEqual([['POST /else'], ['{"a":1}']]);
  });

  it.each([
    ['the first model of the list', 200, '{"data":[{"id":"one"},{"id":"two"}]}', 'one'],
    ['no model of an empty list', 200, '{"data":[]}', undefined],
    ['no model where there is no list', 404, '{"data":[{"id":"one"}]}', undefined],
  ])('asks %s, once', async (_which, status, list, model) => {
    routes['GET /v1/models'] = reply(status, list);
    routes['POST /v1/completions'] = reply(200, completion);
    const server = new Server({ url });
    await server.ask();
    await server.ask();
    expect(asked).toEqual(['GET /v1/models', 'POST /v1/completions', 'POST /v1/completions']);
    expect((JSON.parse(bodies[1] ?? '') as { model?: string }).model).toBe(model);
    expect(bodies[2]).toBe(bodies[1]);
  });

  it.each([
    ['a page', '<html>welcome</html>', '<html>welcome</html>'],
    ['nothing', '', 'nothing'],
  ])('blames the list of models when it is %s, and not the request', async (_which, text, said) => {
    routes['GET /v1/models'] = reply(200, text);
    await expect(new Server({ url }).ask()).rejects.toMatchObject({
      code: 'ERR_SERVER',
      message: `${url}/v1/models answers no JSON: ${said}`,
      hint: expect.stringContaining('--body') as string,
    });
    expect(asked).toEqual(['GET /v1/models']);
  });
});

describe('the health of a server', () => {
  it.each([
    [200, true],
    [299, true],
    [300, false],
    [404, false],
    [503, false],
  ])('by status %i: %s', async (status, healthy) => {
    routes['GET /health'] = reply(status, '');
    expect(await new Server({ url }).isHealthy()).toBe(healthy);
  });

  it('is bad when it closes the connection, and when nothing listens', async () => {
    routes['GET /health'] = (response) => {
      response.destroy();
    };
    expect(await new Server({ url }).isHealthy()).toBe(false);
    http.close();
    expect(await new Server({ url }).isHealthy()).toBe(false);
  });

  it('is polled at the given path until it is good', async () => {
    let left = 3;
    routes['GET /ready'] = (response) => {
      reply((left -= 1) === 0 ? 200 : 503, '')(response);
    };
    const host = { name: 'it', isRunning: () => Promise.resolve(true) };
    expect(await new Server({ url, healthPath: '/ready' }).untilHealthy(host)).toBeGreaterThan(0);
    expect(asked).toEqual(['GET /ready', 'GET /ready', 'GET /ready']);
  });

  it('is not awaited beyond the timeout, and the error has the last output of its host', async () => {
    const host = {
      name: 'box',
      isRunning: () => Promise.resolve(true),
      lastOutput: () => Promise.resolve('out of memory'),
      hint: 'podman logs box',
    };
    const failure = new Server({ url, healthTimeoutMs: 0 }).untilHealthy(host);
    await expect(failure).rejects.toMatchObject({ code: 'ERR_SERVER', hint: 'podman logs box' });
    await expect(failure).rejects.toThrow(
      /^box is not healthy at .* after \d+ ms; its last output:\nout of memory$/,
    );
  });
});
