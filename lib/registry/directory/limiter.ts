// SPDX-License-Identifier: MIT

/** Work that is done at the same time, but only so much of it; the rest waits in order. */
export class Limiter {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  readonly #all: Promise<void>[] = [];

  /** @param most work that is done at the same time */
  constructor(most: number) {
    this.#free = most;
  }

  /** Does work as soon as there is room for it. Rejects as the work does. */
  run(work: () => Promise<void>): Promise<void> {
    const done = this.#enter()
      .then(work)
      .finally(() => {
        this.#leave();
      });
    done.catch(() => undefined); // {@link ended} rejects, too
    this.#all.push(done);
    return done;
  }

  #enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }

  /** Waits for all of it; then rejects if any has failed. */
  async ended(): Promise<void> {
    for (const one of await Promise.allSettled(this.#all)) if (one.status === 'rejected') throw one.reason;
  }
}
