// SPDX-License-Identifier: MIT
/** Options of commands that send requests to a server. */
import type { Command } from 'commander';
import { parseBody, type ServerOptions } from '../server/index.ts';
import { wholeNumber } from './operation-options.ts';

export interface ServerFlags {
  url: string;
  healthPath: string;
  requestPath: string;
  body?: unknown;
  healthTimeout: number;
}

export function serverOptions(flags: ServerFlags): ServerOptions {
  const { url, healthPath, requestPath, body, healthTimeout } = flags;
  const healthTimeoutMs = healthTimeout * 1000;
  return { url, healthPath, requestPath, healthTimeoutMs, body };
}

/** Adds all of them except `--url`, which only some commands require. */
export function addServerOptions(command: Command): Command {
  return command
    .option('--health-path <path>', 'path that answers 200 when the server is ready', '/health')
    .option('--request-path <path>', 'path that takes a POST request', '/v1/completions')
    .option(
      '--body <json>',
      'body of the request (default: a completion of 8 tokens, temperature 0)',
      parseBody,
    )
    .option(
      '--health-timeout <seconds>',
      'how long the server may take to become healthy',
      wholeNumber(1, 86_400),
      600,
    );
}
