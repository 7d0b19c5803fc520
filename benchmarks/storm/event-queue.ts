// SPDX-License-Identifier: MIT
/** Events in the order of their times: a binary heap. Events of one time come in the order in which they were added. */

interface Entry<Event> {
  readonly time: number;
  readonly order: number;
  readonly event: Event;
}

const isBefore = <Event>(a: Entry<Event>, b: Entry<Event>): boolean =>
  a.time < b.time || (a.time === b.time && a.order < b.order);

export class EventQueue<Event> {
  readonly #heap: Entry<Event>[] = [];
  #added = 0;

  /** @param time - seconds; not a number is refused, because it would have no place in the order */
  add(time: number, event: Event): void {
    if (Number.isNaN(time)) throw new RangeError('an event needs a time');
    const heap = this.#heap;
    const entry = { time, order: this.#added++, event };
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || !isBefore(entry, parent)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = entry;
  }

  /** Removes the earliest event. @returns undefined when none is left */
  next(): { readonly time: number; readonly event: Event } | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
    return first;
  }

  /** Places an entry, from the top down. */
  #sink(entry: Entry<Event>): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex];
      const right = heap[childIndex + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        child = right;
        childIndex += 1;
      }
      if (child === undefined || !isBefore(child, entry)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = entry;
  }
}
