# SPDX-License-Identifier: MIT
"""Starts, dumps and restores programs with criu-cuda, and asks them on their sockets."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ANSWER_S = 120

# docs/groups.md says why.
ENVIRONMENT = {
    "NCCL_NVLS_ENABLE": "0",
    "NCCL_CUMEM_HOST_ENABLE": "0",
    "NCCL_IB_DISABLE": "1",
    "NCCL_SOCKET_IFNAME": "lo",
    "GLOO_SOCKET_IFNAME": "lo",
    "TORCH_NCCL_ENABLE_MONITORING": "0",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
    "NCCL_DEBUG": "INFO",
}


class Failed(Exception):
    """What a row expected did not happen."""


def ask(path, request, limit_s=ANSWER_S):
    """Sends one request. Returns what follows `ok`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(limit_s)
        client.connect(str(path))
        client.sendall(f"{request}\n".encode())
        answer = client.makefile().readline().strip()
    if not answer.startswith("ok"):
        raise Failed(f"{request}: {answer or 'no answer'}")
    return answer[3:]


def ask_until(path, request, is_alive, limit_s=ANSWER_S):
    """The same of a program that may not listen yet."""
    end = time.monotonic() + limit_s
    while True:
        try:
            return ask(path, request, limit_s)
        except OSError:
            if time.monotonic() > end or not is_alive():
                raise
            time.sleep(0.002)


def parents():
    """The parent of every process that has not ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                pass
    return found


def tree_of(root):
    """The process and its descendants."""
    of, tree = parents(), [root]
    for pid in tree:
        tree.extend(child for child, parent in of.items() if parent == pid)
    return tree


class Machine:
    """Where the command line is, and where images are kept."""

    def __init__(self, program, store, log_dir):
        self.program, self.store, self.logs = program, Path(store), Path(log_dir)
        self.sockets = Path(tempfile.mkdtemp(prefix="criu-cuda-groups-"))
        self.logs.mkdir(parents=True, exist_ok=True)
        self.count = 0

    def type(self, *words, env=None):
        """Runs a command. Returns its output."""
        done = subprocess.run(
            [self.program, *map(str, words)],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise Failed(f"criu-cuda {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def gpus(self):
        """The UUIDs of the GPUs."""
        return [gpu["uuid"] for gpu in json.loads(self.type("gpu", "--json"))["gpus"]]

    def start(self, name, words, env=None, flags=(), request="steps"):
        """Starts a program that gets `--socket PATH`, and waits until it answers."""
        self.count += 1
        path, log = self.sockets / f"{self.count}", self.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        values = {**ENVIRONMENT, **(env or {})}
        begin = time.monotonic()
        pid = self.type("run", "--detach", "--log", log, *flags, "--", *words, "--socket", path, env=values)
        program = Program(self, name, int(pid.split("\n")[-1]), path, log)
        try:
            ask_until(path, request, program.is_alive)
        except (Failed, OSError) as error:
            program.end()
            raise Failed(f"{name} did not start: {error}\n{log.read_text()[-3000:]}") from error
        program.start_ms = 1000 * (time.monotonic() - begin)
        return program


class Program:
    """A program that runs, and its images."""

    def __init__(self, machine, name, pid, path, log):
        self.machine, self.name, self.pid, self.path, self.log = machine, name, pid, path, log
        self.images = machine.store / name

    def is_alive(self):
        try:
            return "\nState:\tZ" not in Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False

    def ask(self, request, limit_s=ANSWER_S):
        return ask(self.path, request, limit_s)

    def dump(self, *flags, env=None):
        """Returns what the command says, and `typedMs`. Without --leave-running the program is gone afterwards."""
        begin = time.monotonic()
        tree = tree_of(self.pid)
        try:
            text = self.machine.type("checkpoint", "--json", "--force", *flags, self.pid, self.images, env=env)
        except Failed:
            self.keep_logs()
            raise
        done = {**json.loads(text), "typedMs": 1000 * (time.monotonic() - begin)}
        if "--leave-running" not in flags:
            self.wait_until_gone(tree)
        return done

    def dump_that_fails(self):
        """CRIU's last script fails after everything is dumped: the program must run on."""
        script = self.machine.sockets / "fail"
        reached = self.machine.sockets / "reached"
        reached.unlink(missing_ok=True)
        script.write_text(f'#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ] || {{ : >"{reached}"; exit 1; }}\n')
        script.chmod(0o755)
        try:
            self.machine.type("checkpoint", "--force", self.pid, self.images, "--", "--action-script", script)
        except Failed:
            if not reached.exists():
                raise
            return
        raise Failed("a dump whose last script fails has succeeded")

    def restore(self, request="touch", env=None):
        """Returns what the command says, `typedMs`, and `answeredMs` until the request is answered."""
        begin = time.monotonic()
        try:
            restored = json.loads(self.machine.type("restore", "--detach", "--json", self.images, env=env))
        except Failed:
            self.keep_logs()
            raise
        typed = time.monotonic()
        self.ask(request)
        end = time.monotonic()
        return {
            "typedMs": 1000 * (typed - begin),
            "answeredMs": 1000 * (end - begin),
            "phases": restored.get("phases"),
        }

    def keep_logs(self):
        """Of CRIU, of an operation that failed."""
        for log in self.images.glob("*.log"):
            shutil.copy(log, self.machine.logs / f"{self.name}-{log.name}")

    def wait_until_gone(self, tree):
        """Also until a parent has collected them: a restore needs their pids."""
        while any(Path(f"/proc/{pid}").exists() for pid in tree):
            for pid in tree:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            time.sleep(0.005)

    def end(self):
        tree = tree_of(self.pid)
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait_until_gone(tree)
