# SPDX-License-Identifier: MIT
"""Runs a program, with the same pid, as the leader of a session on a terminal of its own, which another process keeps open."""

import fcntl
import os
import pty
import sys
import termios

master, terminal = pty.openpty()
child = os.fork()
if child == 0:
    os.close(terminal)
    os.setsid()
    if os.fork() != 0:  # so that it is not a child of the program
        os._exit(0)
    try:
        while os.read(master, 4096):
            pass
    except OSError:  # the program has ended
        os._exit(0)
os.waitpid(child, 0)
os.close(master)
if os.getsid(0) != os.getpid():
    os.setsid()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
for number in (0, 1, 2):
    os.dup2(terminal, number)
os.close(terminal)
os.execvp(sys.argv[1], sys.argv[1:])
