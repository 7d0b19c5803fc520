// SPDX-License-Identifier: MIT
// One server of rows.mjs: started, asked, dumped and restored by typed commands, whose times are from before the program starts.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { send, untilAnswered } from './http.mjs';
import { endTree, isRunning, untilGone } from './processes.mjs';

/** How long a server may take to start, and a restored one to answer. */
const START_MS = 400_000;
const ANSWER_MS = 60_000;

/** Runs a criu-cuda command and returns its output. A command that fails is an error with all that it said. */
export function type(program, args, { env = {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (err += data));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out.trim());
      else reject(new Error(`criu-cuda ${args.join(' ')}: exit ${code}\n${out}${err}`));
    });
  });
}

const sinceMs = (begin) => performance.now() - begin;

export class Server {
  /** Of the running tree, if there is one. */
  pid;
  /** Ends what the server is made to do when the time for it is over. */
  signal = new AbortController().signal;

  /**
   * @param row of rows.mjs
   * @param {number} port where it serves
   * @param {{ criuCuda: string, models: string, logs: string }} where programs, models, and the directory for logs
   */
  constructor(row, port, where) {
    Object.assign(this, { row, port, ...where });
  }

  type(args, env) {
    return type(this.criuCuda, args, { env, signal: this.signal });
  }

  ask(body, signal = this.signal) {
    return send(this.port, { method: 'POST', path: this.row.path, body }, signal);
  }

  async answerTo(body, signal) {
    return this.row.textOf(JSON.parse(await this.ask(body, signal)));
  }

  async answers() {
    const begin = performance.now();
    const answers = [];
    for (const body of this.row.bodies) answers.push(await this.answerTo(body));
    return { answers, answersMs: sinceMs(begin) };
  }

  #untilAnswered(message, limitMs, isAlive) {
    return untilAnswered(this.port, message, { limitMs, signal: this.signal, isAlive });
  }

  /** The arguments and the environment of one of `criu-cuda presets`, without what is podman's. */
  async #preset(name) {
    const presets = JSON.parse(await this.type(['presets', '--json']));
    const { parts } = presets.find((one) => one.name === name);
    return {
      args: parts.flatMap(({ args = [] }) => args),
      env: Object.assign({}, ...parts.map(({ env }) => env)),
    };
  }

  /** @returns {Promise<number>} milliseconds from the command to the first answer */
  async start() {
    const { row } = this;
    const fill = (word) =>
      word
        .replace('PORT', this.port)
        .replace('MODELS', this.models)
        .replace('HERE', import.meta.dirname);
    const log = join(this.logs, `${row.name}.log`);
    rmSync(log, { force: true });
    const preset = row.preset === undefined ? { args: [], env: {} } : await this.#preset(row.preset);
    const words = ['run', '--detach', '--log', log, '--', ...row.command.map(fill), ...preset.args];
    const begin = performance.now();
    this.pid = Number((await this.type(words, { ...row.env, ...preset.env })).split('\n').at(-1));
    try {
      await this.#untilAnswered({ method: 'GET', path: row.health }, START_MS, () => isRunning(this.pid));
      await this.ask(row.first);
      return sinceMs(begin);
    } catch (error) {
      throw new Error(
        `${row.name} did not start: ${error.message}\n${readFileSync(log, 'utf8').slice(-3000)}`,
        { cause: error },
      );
    }
  }

  /** Ends it, if it runs. */
  async end() {
    if (this.pid !== undefined && isRunning(this.pid)) await endTree(this.pid);
    this.pid = undefined;
  }

  #keepLog(images, file, name) {
    if (existsSync(join(images, file))) copyFileSync(join(images, file), join(this.logs, `${name}.${file}`));
  }

  /** @param {string} name for the logs @param {{ flags?: string[], env?: object }} [how] */
  async dump(images, name, { flags = [], env } = {}) {
    const begin = performance.now();
    try {
      const dumped = JSON.parse(
        await this.type(['checkpoint', '--json', ...flags, String(this.pid), images], env),
      );
      const dumpMs = sinceMs(begin);
      await untilGone(this.pid);
      this.pid = undefined;
      return { dumpMs, dumped };
    } finally {
      this.#keepLog(images, 'dump.log', name);
    }
  }

  /**
   * Restores it, and compares its answers.
   * @param {string[]} expected the answers before the dump
   * @param {string} name for the logs
   * @param {{ flags?: string[], env?: object }} [how]
   */
  async restore(images, expected, name, { flags = [], env } = {}) {
    const { row } = this;
    const begin = performance.now();
    const typed = this.type(['restore', '--detach', '--json', ...flags, images], env).then((text) => ({
      typedMs: sinceMs(begin),
      restored: JSON.parse(text),
    }));
    const first = this.#firstAnswer(begin);
    first.catch(() => undefined); // if the restore fails, its error is thrown instead
    const { typedMs, restored } = await typed.finally(() => this.#keepLog(images, 'restore.log', name));
    this.pid = restored.pid;
    const { text, awakeMs, firstAnswerMs } = await first;
    const { answers, answersMs } = await this.answers();
    const isRight = expected[0].startsWith(text) && answers.every((answer, i) => answer === expected[i]);
    if (!isRight)
      throw new Error(`${row.name}: wrong answers: ${JSON.stringify({ expected, text, answers })}`);
    const awake = row.after.length > 0 ? { awakeMs } : {};
    return { typedMs, firstAnswerMs, ...awake, answersMs, phases: restored.phases };
  }

  async #firstAnswer(begin) {
    const { row } = this;
    for (const message of row.after) await this.#untilAnswered(message, ANSWER_MS);
    const awakeMs = sinceMs(begin);
    const message = { method: 'POST', path: row.path, body: row.first };
    const text = row.textOf(JSON.parse(await this.#untilAnswered(message, ANSWER_MS)));
    return { text, awakeMs, firstAnswerMs: sinceMs(begin) };
  }
}
