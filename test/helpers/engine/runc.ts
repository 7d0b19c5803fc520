// SPDX-License-Identifier: MIT
/** Plain runc with a bundle. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeRootfs } from './image.ts';
import { Engine, type StartOptions } from './engine.ts';

interface Config {
  process: { args: string[]; user: { uid: number; gid: number } };
  linux: { namespaces: { type: string }[] };
}

/** A user namespace, whose owner may dump every user in it, also without CAP_SYS_RESOURCE. */
function inUserNamespace({ linux }: Config, hostRoot: number): object {
  const mappings = [{ containerID: 0, hostID: hostRoot, size: 65_536 }];
  const namespaces = [...linux.namespaces, { type: 'user' }];
  return { ...linux, namespaces, uidMappings: mappings, gidMappings: mappings };
}

export class Runc extends Engine {
  readonly title = 'runc';
  override readonly hostRoot = 100_000;

  get #bundle(): string {
    return join(this.dir, 'bundle');
  }

  async open(): Promise<void> {
    this.programWith('runc', '--root', join(this.dir, 'state'));
    await makeRootfs(join(this.#bundle, 'rootfs'));
  }

  async start({ words, user, intercept = true }: StartOptions = {}): Promise<void> {
    await this.sh(`rm -f ${this.#bundle}/config.json; runc spec --bundle ${this.#bundle}`);
    await this.sh(
      this.line(/^criu-cuda cdi generate/, (command) =>
        command.replace('--format runc', intercept ? '$&' : '$& --no-intercept'),
      ),
    );
    await this.sh(this.line(/^mv /));
    const file = join(this.#bundle, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as Config;
    const [uid = 0, gid = 0] = (user ?? '0:0').split(':').map(Number);
    const root = user === undefined ? 0 : this.hostRoot;
    const made = {
      ...config,
      process: { ...config.process, args: this.words(words), user: { uid, gid } },
      ...(root === 0 ? {} : { linux: inUserNamespace(config, root) }),
    };
    writeFileSync(file, JSON.stringify(made));
    await this.sh(`chown -R ${root}:${root} ${this.#bundle}/rootfs`);
    await this.sh(this.line(/^runc run /));
  }

  async checkpoint(): Promise<void> {
    await this.sh(this.line(/^runc checkpoint --image/));
    // criu opens images in the user namespace before anybody is mapped there
    await this.sh(`chmod -R a+rX ${await this.imagesDir()}`);
  }

  async checkpointRunning(): Promise<void> {
    await this.sh(this.line(/^runc checkpoint --leave-running/));
  }

  imagesDir(): Promise<string> {
    return Promise.resolve(join(this.#bundle, 'two'));
  }

  restoreLine(): string {
    return this.line(/^runc restore .* web </);
  }

  async restoreOther(): Promise<void> {
    await this.sh(`runc delete --force ${this.container}`);
    await this.sh(this.line(/^runc restore .* web2 </));
  }

  async pid(name = this.container): Promise<number | undefined> {
    const { stdout } = await this.trySh(`runc state ${name}`);
    if (stdout === '') return undefined;
    const { status, pid } = JSON.parse(stdout) as { status: string; pid: number };
    return status === 'running' ? pid : undefined;
  }

  async remove(): Promise<void> {
    for (const name of [this.container, this.other]) await this.trySh(`runc delete --force ${name}`);
    await this.sh(`rm -rf ${this.#bundle}/one ${this.#bundle}/two`);
  }
}
