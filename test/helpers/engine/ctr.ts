// SPDX-License-Identifier: MIT
/** containerd with a daemon of its own, and its client ctr. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootfsTar } from './image.ts';
import { changeByte, Engine, MIDDLE, type StartOptions } from './engine.ts';

/** An image of ctr is a tar file of OCI or Docker; this is the smallest one with a layer. */
async function imageTar(engine: Engine, name: string): Promise<string> {
  await rootfsTar(engine.dir);
  const { stdout } = await engine.sh('mkdir image; mv rootfs.tar image/layer.tar; sha256sum image/layer.tar');
  const config = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [`sha256:${stdout.split(' ')[0] ?? ''}`] },
  };
  const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }];
  writeFileSync(join(engine.dir, 'image', 'config.json'), JSON.stringify(config));
  writeFileSync(join(engine.dir, 'image', 'manifest.json'), JSON.stringify(manifest));
  await engine.sh('tar --create --file image.tar --directory image .');
  return join(engine.dir, 'image.tar');
}

export class Ctr extends Engine {
  readonly title = 'containerd';
  readonly #image = 'localhost/pattern:latest';

  async open(): Promise<void> {
    const address = join(this.dir, 'containerd.sock');
    this.programWith('ctr', '--address', address);
    const config = [
      'version = 2',
      `root = "${join(this.dir, 'root')}"`,
      `state = "${join(this.dir, 'state')}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = "${address}"`,
      '[ttrpc]',
      `address = "${address}.ttrpc"`,
      '[plugins."io.containerd.internal.v1.opt"]',
      `path = "${join(this.dir, 'opt')}"`,
    ];
    const file = join(this.dir, 'config.toml');
    writeFileSync(file, `${config.join('\n')}\n`);
    await this.daemon('containerd', ['--config', file], 'ctr version');
    await this.sh(`ctr images import ${await imageTar(this, this.#image)}`);
  }

  async start({ words, user, intercept = true }: StartOptions = {}): Promise<void> {
    const user_ = user === undefined ? '' : `--user ${user} `;
    const line = this.line(/^ctr run /, (command) =>
      command
        .replace('--format ctr', intercept ? '$&' : '$& --no-intercept')
        .replace('IMAGE web', `${user_}${this.#image} web ${this.words(words).join(' ')}`),
    );
    await this.sh(line);
  }

  /** ctr's checkpoints keep the program running. */
  async checkpoint(): Promise<void> {
    await this.checkpointRunning();
    await this.sh(this.line(/^ctr tasks delete/));
  }

  async checkpointRunning(): Promise<void> {
    await this.trySh('ctr images delete --sync localhost/web:one');
    await this.sh(this.line(/^ctr containers checkpoint/));
  }

  /** The file in containerd's store that has the images, and where a member of it begins. */
  async #packed(member: string): Promise<{ blob: string; offset: number }> {
    const dir = join(this.dir, 'root', 'io.containerd.content.v1.content', 'blobs', 'sha256');
    for (const name of readdirSync(dir)) {
      const { stdout } = await this.trySh(`tar --list --block-number --file ${join(dir, name)}`);
      const block = new RegExp(`^block (\\d+): (?:\\./)?${member}$`, 'm').exec(stdout)?.[1];
      // one block for the header
      if (block !== undefined) return { blob: join(dir, name), offset: (Number(block) + 1) * 512 };
    }
    throw new Error(`containerd has no checkpoint with ${member}`);
  }

  async imagesDir(): Promise<string> {
    const { blob } = await this.#packed(String.raw`inventory\.img`);
    await this.sh(`rm -rf unpacked; mkdir unpacked; tar --extract --file ${blob} --directory unpacked`);
    return join(this.dir, 'unpacked');
  }

  override async damage(): Promise<void> {
    const { blob, offset } = await this.#packed(String.raw`cuda-\d+-0\.img`);
    changeByte(blob, offset + MIDDLE);
  }

  restoreLine(): string {
    const remove = this.line(/^ctr containers delete/);
    return `${remove}; ${this.line(/^ctr containers restore .* web /)}`;
  }

  async restoreOther(): Promise<void> {
    await this.sh(this.line(/^ctr tasks delete/));
    await this.sh(this.line(/^ctr containers restore .* web2 /));
  }

  async pid(name = this.container): Promise<number | undefined> {
    const { stdout } = await this.sh('ctr tasks list');
    const found = new RegExp(`^${name}\\s+(\\d+)\\s+RUNNING`, 'm').exec(stdout)?.[1];
    return found === undefined ? undefined : Number(found);
  }

  async remove(): Promise<void> {
    for (const name of [this.container, this.other]) {
      // with --force, ctr waits for the end of a task that was never started, as after a restore that failed
      await this.trySh(`ctr tasks delete ${name} || ctr tasks delete --force ${name}`);
      await this.trySh(`ctr containers delete ${name}`);
    }
    await this.trySh('ctr images delete --sync localhost/web:one');
  }
}
