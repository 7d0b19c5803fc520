// SPDX-License-Identifier: MIT
/**
 * An inference server as its clients see it: whether it is healthy, and what it answers.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { isErrno } from '../errno.ts';
import { ToolkitError, UsageError } from '../errors.ts';
import { ask, parseServerUrl, type ServerAnswer } from './http.ts';
import { ServerError } from './error.ts';

/** How a server is asked. */
export interface ServerOptions {
  /** `http://127.0.0.1:8000` */
  url: string;
  /** @default /health */
  healthPath?: string | undefined;
  /** @default /v1/completions */
  requestPath?: string | undefined;
  /** JSON of the request. @default a short completion with temperature 0 from the first model of /v1/models */
  body?: unknown;
  /** How long it may take to become healthy. Milliseconds. @default 600_000 */
  healthTimeoutMs?: number | undefined;
}

const POLL_MS = 5;
const LISTEN_POLL_MS = 2;
const PROBE_TIMEOUT_MS = 5000;
/** Probes between two questions to podman, which take much longer than a probe. */
const LOOK_EVERY = 200;

const models = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });

/** Parses the JSON of a request, as given on the command line. */
export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`the request is not JSON: ${text.slice(0, 80)}`);
  }
}

/** @throws {@link ServerError} ERR_SERVER when the server answers something else, as a page of HTML */
function modelList(url: URL, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServerError(
      'ERR_SERVER',
      `${url.href} answers no JSON: ${text.trim().slice(0, 80) || 'nothing'}`,
      {
        cause,
        hint: 'the model for the request is taken from there; name it yourself with --body',
      },
    );
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof ToolkitError && isErrno(error.cause, 'ECONNREFUSED');
}

/** What runs the server, and may know that it has ended. */
export interface Host {
  name: string;
  isRunning: () => Promise<boolean>;
  /** The last output of the server, for the error after it has ended. */
  lastOutput?: (() => Promise<string>) | undefined;
  hint?: string | undefined;
}

export class Server {
  readonly #options: ServerOptions;
  readonly #base: URL;
  #body: unknown;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#base = parseServerUrl(options.url);
    this.#body = options.body;
  }

  /** The port it listens on. */
  get port(): number {
    return Number(this.#base.port === '' ? 80 : this.#base.port);
  }

  /** Whether it reports that it is healthy now. */
  async isHealthy(signal?: AbortSignal): Promise<boolean> {
    const url = new URL(this.#options.healthPath ?? '/health', this.#base);
    try {
      const { status } = await ask(url, {
        timeoutMs: PROBE_TIMEOUT_MS,
        signal,
      });
      return status >= 200 && status < 300;
    } catch (error) {
      if (error instanceof ToolkitError && error.code === 'ERR_SERVER') return false;
      throw error;
    }
  }

  /**
   * Sends requests until it is healthy: from outside there is no event for a server that begins to listen.
   * @returns how long it took, in milliseconds
   * @throws {@link ToolkitError} ERR_SERVER with the last output of the server when it ends
   */
  async untilHealthy(host: Host, signal?: AbortSignal): Promise<number> {
    const { healthTimeoutMs = 600_000, url } = this.#options;
    const start = performance.now();
    for (let probe = 1; !(await this.isHealthy(signal)); probe += 1) {
      const waited = performance.now() - start;
      const isLost = probe % LOOK_EVERY === 0 && !(await host.isRunning());
      if (isLost || waited > healthTimeoutMs) {
        const what = isLost ? 'ended' : `is not healthy at ${url} after ${Math.round(waited)} ms`;
        const words = host.lastOutput === undefined ? '' : `; its last output:\n${await host.lastOutput()}`;
        throw new ServerError(
          'ERR_SERVER',
          `${host.name} ${what}${words}`,
          host.hint === undefined ? {} : { hint: host.hint },
        );
      }
      await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
    return performance.now() - start;
  }

  /** The model to request; servers that list none accept any. */
  async #defaultBody(signal?: AbortSignal): Promise<unknown> {
    const url = new URL('/v1/models', this.#base);
    const answer = await ask(url, signal === undefined ? {} : { signal });
    // the text of the answer is JSON but not a completion, so it is returned as is
    const listed = answer.status === 200 ? models.safeParse(modelList(url, answer.text)) : undefined;
    const model = listed?.success === true ? listed.data.data[0]?.id : undefined;
    return {
      model,
      prompt: 'The capital of France is',
      max_tokens: 8,
      temperature: 0,
      seed: 1,
      stream: true,
    };
  }

  /**
   * Sends the request as soon as something listens. CRIU restores a listening socket before the process runs, so a
   * request to a server that is being restored waits there.
   */
  async askWhenListening(signal: AbortSignal): Promise<ServerAnswer> {
    for (;;) {
      try {
        return await this.ask(signal);
      } catch (error) {
        if (!isRefused(error)) throw error;
      }
      await delay(LISTEN_POLL_MS, undefined, { signal });
    }
  }

  /** Sends the request. @throws {@link ToolkitError} ERR_SERVER for an HTTP error or an empty answer */
  async ask(signal?: AbortSignal): Promise<ServerAnswer> {
    this.#body ??= await this.#defaultBody(signal);
    const url = new URL(this.#options.requestPath ?? '/v1/completions', this.#base);
    const answer = await ask(url, {
      method: 'POST',
      body: this.#body,
      signal,
    });
    if (answer.status === 200 && answer.text !== '') return answer;
    throw new ServerError(
      'ERR_SERVER',
      `${url.href} answered ${answer.status}: ${answer.text.trim().slice(0, 200) || 'nothing'}`,
      { hint: 'see --request-path and --body' },
    );
  }
}
