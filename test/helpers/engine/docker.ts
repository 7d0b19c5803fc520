// SPDX-License-Identifier: MIT
/** Docker with a daemon of its own, without networks. */
import { join } from 'node:path';
import { rootfsTar } from './image.ts';
import { Engine, type StartOptions } from './engine.ts';

export class Docker extends Engine {
  readonly title = 'Docker';
  readonly #image = 'pattern';

  async open(): Promise<void> {
    const host = `unix://${join(this.dir, 'docker.sock')}`;
    this.programWith('docker', '--host', host);
    const places = [
      ['--data-root', 'data'],
      ['--exec-root', 'exec'],
      ['--pidfile', 'docker.pid'],
      ['--config-file', 'daemon.json'],
    ].flatMap(([flag = '', name = '']) => [flag, join(this.dir, name)]);
    await this.sh('echo "{}" > daemon.json');
    const network = ['--iptables=false', '--ip6tables=false', '--bridge=none'];
    const how = ['--experimental', '--exec-opt', 'native.cgroupdriver=cgroupfs'];
    await this.daemon('dockerd', ['--host', host, ...places, ...network, ...how], 'docker version');
    await this.sh(`docker import ${await rootfsTar(this.dir)} ${this.#image}`);
  }

  #run(pattern: RegExp, { words, user, intercept = true }: StartOptions = {}): string {
    const user_ = user === undefined ? '' : `--user ${user} `;
    return this.line(pattern, (command) =>
      command
        .replace('--format docker', intercept ? '$&' : '$& --no-intercept')
        .replace(/\bIMAGE$/, `--network none ${user_}${this.#image} ${this.words(words).join(' ')}`),
    );
  }

  async start(options?: StartOptions): Promise<void> {
    await this.sh(this.#run(/^docker run /, options));
  }

  async checkpoint(): Promise<void> {
    await this.trySh(`docker checkpoint rm ${this.container} two`);
    await this.sh(this.line(/^docker checkpoint create (?!--leave)/));
  }

  async checkpointRunning(): Promise<void> {
    await this.sh(this.line(/^docker checkpoint create --leave-running/));
  }

  async imagesDir(): Promise<string> {
    const id = (await this.sh(`docker inspect --format '{{.Id}}' ${this.container}`)).stdout.trim();
    return join(this.dir, 'data', 'containers', id, 'checkpoints', 'two');
  }

  restoreLine(): string {
    return this.line(/^docker start --checkpoint two web$/);
  }

  async restoreOther(): Promise<void> {
    await this.sh(`docker kill ${this.container}`);
    await this.sh(this.#run(/^docker create /));
    await this.sh(
      this.line(/^cp -r/, (command) => command.replaceAll('/var/lib/docker', join(this.dir, 'data'))),
    );
    await this.sh(this.line(/^docker start --checkpoint two web2$/));
  }

  async pid(name = this.container): Promise<number | undefined> {
    const { stdout } = await this.trySh(
      `docker inspect --format '{{.State.Running}} {{.State.Pid}}' ${name}`,
    );
    const pid = /^true (\d+)$/.exec(stdout.trim())?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  async remove(): Promise<void> {
    await this.trySh(`docker rm --force ${this.container} ${this.other}`);
  }
}
