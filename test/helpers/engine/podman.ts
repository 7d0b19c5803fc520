// SPDX-License-Identifier: MIT
/** podman with its own commands: it finds criu on PATH, and reads CDI files. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareContainers } from '../container.ts';
import { Engine, type StartOptions } from './engine.ts';

export class Podman extends Engine {
  readonly title = 'podman';
  #image = '';
  /** Of a kind of its own, so that it does not conflict with the machine's. */
  readonly #kind = `criu-cuda-test-${process.pid}`;
  readonly #cdi = `/var/run/cdi/${this.#kind}.json`;

  async open(): Promise<void> {
    const { image, reason } = await prepareContainers();
    if (image === undefined) throw new Error(reason);
    this.#image = image;
    this.programWith('podman');
    this.programWith('runc');
  }

  async start({ words, user, intercept = true }: StartOptions = {}): Promise<void> {
    const generate = this.line(/^criu-cuda cdi generate/, (command) =>
      command.replace('--write', `--output ${this.#cdi}${intercept ? '' : ' --no-intercept'}`),
    );
    await this.sh(generate);
    writeFileSync(
      this.#cdi,
      readFileSync(this.#cdi, 'utf8').replace('"criu-cuda/checkpoint"', `"${this.#kind}/checkpoint"`),
    );
    const limits =
      (await this.sh('criu-cuda cdi generate --format docker')).stdout.match(/--ulimit \S+/g) ?? [];
    const user_ = user === undefined ? '' : `--user ${user} `;
    const run = this.line(/^podman run /, (command) =>
      command
        .replace('criu-cuda/checkpoint', `${this.#kind}/checkpoint`)
        .replace(
          /\bIMAGE$/,
          `--network host ${limits.join(' ')} ${user_}${this.#image} ${this.words(words).join(' ')}`,
        ),
    );
    await this.sh(run);
  }

  async checkpoint(): Promise<void> {
    await this.sh(this.line(/^podman container checkpoint web$/));
  }

  async checkpointRunning(): Promise<void> {
    await this.sh(this.line(/^podman container checkpoint --leave-running/));
  }

  async imagesDir(): Promise<string> {
    const format = '{{.StaticDir}}';
    return join(
      (await this.sh(`podman inspect --format '${format}' ${this.container}`)).stdout.trim(),
      'checkpoint',
    );
  }

  restoreLine(): string {
    return this.line(/^podman container restore web$/);
  }

  async restoreOther(): Promise<void> {
    await this.sh(this.line(/^podman container checkpoint --export/));
    await this.sh(`podman rm ${this.container}`);
    await this.sh(this.line(/^podman container restore --import/));
  }

  async pid(name = this.container): Promise<number | undefined> {
    const { stdout } = await this.trySh(
      `podman inspect --format '{{.State.Running}} {{.State.Pid}}' ${name}`,
    );
    const pid = /^true (\d+)$/.exec(stdout.trim())?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  async remove(): Promise<void> {
    // a name that does not exist ends it
    for (const name of [this.container, this.other]) await this.trySh(`podman rm --force --time 0 ${name}`);
    if (existsSync(this.#cdi)) rmSync(this.#cdi);
  }
}
