# SPDX-License-Identifier: MIT
"""What the processes of one server share, and whether it works and agrees with what each of them has for itself.

A count in shared memory, a lock, semaphores, a file lock and two kinds of timers. Each process is a `Member`: it counts in
its own memory and in the shared one, and a thread of it answers what other members ask.
"""

import ctypes
import fcntl
import os
import signal
import struct
import threading
import time
from multiprocessing import shared_memory

TIMEOUT_S = 5
TICK_S = 0.005
CLOCK_MONOTONIC = 1
libc = ctypes.CDLL(None, use_errno=True)


class Timerspec(ctypes.Structure):
    _fields_ = [("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2)]


class Shared:
    """Made before the processes are: with a context of multiprocessing that forks or spawns them."""

    def __init__(self, context, members, directory):
        self.segment = shared_memory.SharedMemory(create=True, size=4096)
        self.lock = context.Lock()
        self.asked = [context.Semaphore(0) for _ in range(members)]
        self.answered = context.Semaphore(0)
        self.start = os.urandom(8).hex()
        self.lock_path = os.path.join(directory, "lock")

    def slots(self):
        """A total, the count of each member, and what a member found when it tried to take the lock."""
        return self.segment.buf.cast("q")


class Member:
    def __init__(self, shared, index, holds_file=False):
        self.shared = shared
        self.index = index
        self.count = 0
        self.ticks = 0
        self.alarms = 0
        self.slots = shared.slots()
        self.own = 1 + index
        self.found = 1 + len(shared.asked)
        if holds_file:
            self.file = open(shared.lock_path, "w")
            fcntl.flock(self.file, fcntl.LOCK_EX)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self.on_alarm)
            signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        threading.Thread(target=self.tick, daemon=True).start()
        threading.Thread(target=self.answer, daemon=True).start()

    def on_alarm(self, *_):
        self.alarms += 1

    def tick(self):
        nanoseconds = int(TICK_S * 1e9)
        timer = libc.timerfd_create(CLOCK_MONOTONIC, os.O_CLOEXEC)
        period = Timerspec((0, nanoseconds), (0, nanoseconds))
        assert timer >= 0 and libc.timerfd_settime(timer, 0, ctypes.byref(period), None) == 0
        while True:
            self.ticks += struct.unpack("q", os.read(timer, 8))[0]

    def answer(self):
        while True:
            self.shared.asked[self.index].acquire()
            taken = self.shared.lock.acquire(timeout=0.2)
            if taken:
                self.shared.lock.release()
            self.slots[self.found] = taken
            self.shared.answered.release()

    def add(self, number=1):
        with self.shared.lock:
            self.count += number
            self.slots[self.own] += number
            self.slots[0] += number

    def can_take_lock(self, other):
        """What another process finds when it tries to take the lock; None when it does not answer."""
        self.shared.asked[other].release()
        if not self.shared.answered.acquire(timeout=TIMEOUT_S):
            return None
        return bool(self.slots[self.found])

    def lock_excludes(self, other):
        with self.shared.lock:
            while_held = self.can_take_lock(other)
        return while_held is False and self.can_take_lock(other) is True

    def timers_run(self):
        ticks, alarms, end = self.ticks, self.alarms, time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            if self.ticks > ticks and (self.alarms > alarms or alarms == 0):
                return True
            time.sleep(TICK_S)
        return False

    def file_is_locked(self):
        with open(self.shared.lock_path, "w") as again:
            try:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True

    def check(self, other):
        """What the tests assert; all that is not a number or text must be true."""
        with self.shared.lock:
            counts = list(self.slots[: self.found])
        return {
            "start": self.shared.start,
            "count": counts[0],
            "agrees": counts[0] == sum(counts[1:]) and counts[self.own] == self.count,
            "lock": self.lock_excludes(other),
            "timers": self.timers_run(),
            "fileLock": self.file_is_locked(),
        }
