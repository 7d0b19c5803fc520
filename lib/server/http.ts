// SPDX-License-Identifier: MIT
/**
 * Requests to an inference server, with the time of the first token. Every request has its own connection, which is
 * closed after the answer, so that none is open during a dump.
 * @module
 */
import { request, type IncomingMessage } from 'node:http';
import { z } from 'zod';
import { ToolkitError, UsageError } from '../errors.ts';
import { ServerError } from './error.ts';

/** What a server answered, and when. */
export interface ServerAnswer {
  /** HTTP status. */
  status: number;
  /**
   * From the request to the first token: the first piece of a stream that has text, otherwise the first byte.
   * Milliseconds.
   */
  firstTokenMs: number;
  /** From the request to the end of the answer. Milliseconds. */
  durationMs: number;
  /** All pieces together. */
  text: string;
  /** Tokens of the answer: what the server counted, otherwise the pieces of a stream; `undefined` when neither tells. */
  tokens?: number | undefined;
}

/** Tokens per second of a whole answer. */
export function tokenRate({ tokens, durationMs }: ServerAnswer): number | undefined {
  return tokens === undefined || durationMs <= 0 ? undefined : (tokens / durationMs) * 1000;
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | undefined;
  /** JSON. */
  body?: unknown;
  /** How long the server may send nothing. Milliseconds. @default 120_000 */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

const choice = z.object({
  text: z.string().optional(),
  delta: z.object({ content: z.string().nullish() }).optional(),
  message: z.object({ content: z.string().nullish() }).optional(),
});
const completion = z.object({ choices: z.array(choice).min(1) });

/** The text of a completion or of one piece of it; anything else is returned as is. */
function textOf(json: string): string {
  try {
    const [first] = completion.parse(JSON.parse(json)).choices;
    return first?.text ?? first?.delta?.content ?? first?.message?.content ?? '';
  } catch {
    return json;
  }
}

const counted = z.object({ usage: z.object({ completion_tokens: z.int().positive() }) });

/** The tokens that the server counted; `undefined` if it does not say. */
function tokensOf(json: string): number | undefined {
  try {
    return counted.parse(JSON.parse(json)).usage.completion_tokens;
  } catch {
    return undefined;
  }
}

/** Assembles the lines `data: …` of an event stream, no matter how the network split them. */
class EventStream {
  text = '';
  #counted: number | undefined;
  #pieces = 0;
  #rest = '';

  /** What the server counted, otherwise the pieces that have text. */
  get tokens(): number {
    return this.#counted ?? this.#pieces;
  }

  /** @returns whether there is text now */
  add(chunk: string): boolean {
    const lines = `${this.#rest}${chunk}`.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const data = /^data:\s?(.*?)\r?$/.exec(line)?.[1];
      if (data === undefined || data === '[DONE]') continue;
      const piece = textOf(data);
      if (piece !== '') this.#pieces += 1;
      this.text += piece;
      this.#counted = tokensOf(data) ?? this.#counted;
    }
    return this.text !== '';
  }
}

function failed(url: URL, message: string, cause?: unknown): ToolkitError {
  return new ServerError('ERR_SERVER', `${url.href}: ${message}`, cause === undefined ? {} : { cause });
}

async function readAnswer(response: IncomingMessage, start: number): Promise<ServerAnswer> {
  const isStream = (response.headers['content-type'] ?? '').includes('event-stream');
  const events = new EventStream();
  let whole = '';
  let firstTokenMs: number | undefined;
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    whole += chunk;
    if (!isStream || events.add(chunk)) firstTokenMs ??= performance.now() - start;
  }
  const durationMs = performance.now() - start;
  return {
    status: response.statusCode ?? 0,
    firstTokenMs: firstTokenMs ?? durationMs,
    durationMs,
    text: isStream ? events.text : textOf(whole),
    tokens: isStream ? events.tokens : tokensOf(whole),
  };
}

/** Parses a URL that this program can send requests to. @throws {@link UsageError} */
export function parseServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:') return url;
  throw new UsageError(`"${text}" is not the address of a server`, 'accepted: http://HOST:PORT');
}

/** Sends one request. @throws {@link ToolkitError} ERR_SERVER when there is no answer; an HTTP error is an answer */
export function ask(url: URL, options: RequestOptions = {}): Promise<ServerAnswer> {
  const { method = 'GET', body, timeoutMs = 120_000, signal } = options;
  const text = body === undefined ? '' : JSON.stringify(body);
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method,
      agent: false,
      headers: {
        connection: 'close',
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      },
      signal,
    });
    outgoing.setTimeout(timeoutMs, () => {
      outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`));
    });
    outgoing.once('error', (error) => {
      reject(signal?.aborted === true ? (signal.reason as Error) : failed(url, error.message, error));
    });
    outgoing.once('response', (response) => {
      readAnswer(response, start).then(resolve, (error: unknown) => {
        reject(failed(url, 'the answer is incomplete', error));
      });
    });
    outgoing.end(text);
  });
}
