# SPDX-License-Identifier: MIT
"""A program with device memory that also does what cannot be dumped: each argument is one such thing.

Prints "ready" when all of it is done, or one line that says what this kernel lacks. CRIU_CUDA_DRIVER is the driver.
"""

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
cuda = ctypes.CDLL(os.environ["CRIU_CUDA_DRIVER"])
kept = []


def check(result):
    assert result == 0, result


def allocate():
    context, address = ctypes.c_void_p(), ctypes.c_uint64()
    check(cuda.cuInit(0))
    check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
    check(cuda.cuCtxSetCurrent(context))
    check(cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(8 << 20)))


def fork_child():
    parent_end, child_end = os.pipe()
    if os.fork() == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.write(child_end, b".")
        signal.pause()
    os.read(parent_end, 1)


def io_uring():
    fd = libc.syscall(425, 4, ctypes.create_string_buffer(120))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    kept.append(fd)


def perf_event():
    attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)  # a software event: the CPU clock
    fd = libc.syscall(298, attributes, 0, -1, -1, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    kept.append(fd)


def posix_mq():
    name = f"/criu-cuda-test-{os.getpid()}".encode()
    fd = ctypes.CDLL("librt.so.1", use_errno=True).mq_open(name, os.O_RDWR | os.O_CREAT, 0o600, None)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    libc.mq_unlink(name)


def sysv_shm():
    segment = libc.shmget(0, 4096, 0o1600)
    libc.shmat.restype = ctypes.c_void_p
    if segment < 0 or libc.shmat(segment, None, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")
    libc.shmctl(segment, 0, None)  # IPC_RMID: it goes with the process


def import_memory():
    """Memory of this process, imported into it as another process would."""
    properties = struct.pack("<iiiiQQ", 1, 1, 1, 0, 0, 0)  # pinned, as a descriptor, on device 0
    handle, imported, fd = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_int()
    check(cuda.cuMemCreate(ctypes.byref(handle), ctypes.c_size_t(2 << 20), properties, ctypes.c_uint64(0)))
    check(cuda.cuMemExportToShareableHandle(ctypes.byref(fd), handle, 1, ctypes.c_uint64(0)))
    check(cuda.cuMemImportFromShareableHandle(ctypes.byref(imported), ctypes.c_void_p(fd.value), 1))


def nccl_memory():
    path = f"/dev/shm/nccl-{os.getpid()}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 4096)
    kept.append(mmap.mmap(fd, 4096))
    os.unlink(path)
    os.close(fd)


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4,) * 2)


def small_address_space():
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20),) * 2)


def outlive():
    """Says that the program is ready once the first thread has ended."""
    while True:
        with open(f"/proc/{os.getpid()}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                break
        os.sched_yield()
    print("ready", flush=True)
    signal.pause()


def dead_leader():
    threading.Thread(target=outlive).start()


def leader_ends_at_signal():
    """The first thread ends at SIGUSR1; another one runs on, in a process that has host memory to be saved."""
    kept.append(bytearray(os.urandom(4096) * 8192))
    threading.Thread(target=beat).start()
    signal.signal(signal.SIGUSR1, lambda *_: libc.syscall(60, 0))


def beat():
    """Shows that the thread runs: the file grows."""
    with open(os.path.join(sys.argv[1], "beats"), "ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.01)


def cupti():
    """A file that is mapped under the name of a profiler's library."""
    path = os.path.join(sys.argv[1], "libToolsInjection64.so")
    with open(path, "wb") as file:
        file.write(bytes(4096))
    with open(path, "rb") as file:
        kept.append(mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ))


def main():
    allocate()
    for name in sys.argv[2:]:
        globals()[name]()
    if "dead_leader" in sys.argv:
        libc.syscall(60, 0)  # exit of this thread alone
    print("ready", flush=True)
    signal.pause()


try:
    main()
except OSError as error:
    print(error, flush=True)
