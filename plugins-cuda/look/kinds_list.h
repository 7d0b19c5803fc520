/* SPDX-License-Identifier: MIT */
/*
 * Everything that the look can find, one row each; docs/checks.md has the same table.
 *
 * KIND(id, name, severity, text, remedy, carried)
 *
 * severity: REFUSE is not dumped; GUESS is not dumped unless forced; WARN is dumped, and printed.
 *
 * text: follows the pid, as in "4711 is stopped by a signal".
 *
 * carried: NULL, or the version since which it is dumped and restored; the look is then silent.
 */
KIND(IMPORTED_MEMORY, "imported-memory", REFUSE, "maps device memory of another process",
     "let it close what it has imported (CUDA IPC handles, shared allocations, NCCL communicators)",
     NULL)
KIND(EXPORTED_MEMORY, "exported-memory", GUESS,
     "has exported device memory, which another process may use",
     "let it free what it has exported, or make sure that no process uses it", NULL)
KIND(IPC_EVENTS, "ipc-events", GUESS, "shares CUDA events with another process",
     "start both under the interceptor and dump them as one tree, or let it destroy the events "
     "before the dump (release CUDA tensors that are in queues)",
     NULL)
KIND(MULTICAST, "multicast", REFUSE,
     "has multicast objects (NVLink SHARP), which the driver cannot checkpoint",
     "start it with NCCL_NVLS_ENABLE=0, and without other libraries that use multicast", NULL)
KIND(NCCL, "nccl", GUESS, "has an NCCL communicator with other processes",
     "destroy the communicators before the dump (torch.distributed.destroy_process_group())", NULL)
KIND(CUDA_IPC, "cuda-ipc", WARN,
     "may share tensors in device memory with another process (a guess)",
     "release shared CUDA tensors before the dump: a process that still uses one cannot be "
     "restored",
     NULL)
KIND(IPC_SEGMENT, "ipc-segment", GUESS,
     "shares device memory or events with another process through CUDA IPC",
     "release what is shared (CUDA IPC handles, CUDA tensors in queues) and end the processes that "
     "hold it",
     NULL)
KIND(FORKED_CHILD, "forked-child", REFUSE, "holds GPU device files, but has not initialized CUDA",
     "start child processes before CUDA is initialized, or with exec (spawn instead of fork), or "
     "end this one",
     "0.3.0")
KIND(DEVICE_MAPPING, "device-mapping", REFUSE,
     "maps a GPU device file for something other than CUDA, such as OpenGL or Vulkan",
     "end it, or let it close the device: what the driver has put there cannot be restored", NULL)
KIND(HOST_MEMORY, "host-memory", GUESS,
     "has more device memory than there is host memory for the driver's copy of it",
     "start it with the interceptor (criu-cuda run) and use variant parallel or full, which need "
     "no such copy; or free host memory, or choose an images directory on a disk",
     NULL)
KIND(RESTORE_MEMORY, "restore-memory", GUESS,
     "needs more host memory for the restore than is available",
     "free host memory, or raise the memory limit of the cgroup; a checkpoint by variant parallel "
     "or full with the "
     "interceptor (criu-cuda run) needs none for its device memory",
     NULL)
KIND(STORE_SPACE, "store-space", WARN, "may need more space than the images directory has",
     "free space there, or choose a directory on another file system", NULL)
KIND(IO_URING, "io-uring", REFUSE, "uses io_uring, which CRIU cannot dump",
     "start it with criu-cuda run, which forbids io_uring; in a container, with the seccomp "
     "profile that criu-cuda container setup writes",
     NULL)
KIND(PERF_EVENT, "perf-event", REFUSE, "holds a perf_event descriptor, which CRIU cannot dump",
     "end the profiling that opened it, or start it without (perf, PAPI, likwid)", NULL)
KIND(POSIX_MQ, "posix-mq", REFUSE, "holds a POSIX message queue, which CRIU cannot dump",
     "let it close the queue before the dump (mq_close)", NULL)
KIND(SYSV_SHM, "sysv-shm", REFUSE,
     "has System V shared memory of this machine's IPC namespace, which CRIU cannot dump",
     "start it in an IPC namespace of its own (unshare --ipc, or a container), or let it use POSIX "
     "shared memory",
     NULL)
KIND(RDMA, "rdma", REFUSE,
     "holds RDMA devices (/dev/infiniband), whose registrations cannot be restored",
     "let it close them before the dump (NCCL: NCCL_IB_DISABLE=1 from the start)", NULL)
KIND(GDRCOPY, "gdrcopy", REFUSE, "holds /dev/gdrdrv (gdrcopy), whose mappings cannot be restored",
     "let it call gdr_close() before the dump, or start it without gdrcopy", NULL)
KIND(NVIDIA_FS, "nvidia-fs", REFUSE,
     "holds nvidia-fs (GPUDirect Storage), whose registrations cannot be restored",
     "let it call cuFileDriverClose() before the dump", NULL)
KIND(PROFILER, "profiler", REFUSE,
     "runs under a CUDA profiler, and the driver does not lock such a process",
     "start it without the profiler (Nsight Systems, Nsight Compute, CUDA_INJECTION64_PATH)", NULL)
KIND(PROFILER_GUESS, "profiler-guess", GUESS,
     "may be profiled through CUPTI, and the driver does not lock such a process",
     "end the profiling session, or start it without CUDA_INJECTION64_PATH", NULL)
KIND(FROZEN, "frozen", REFUSE, "is frozen by its cgroup",
     "thaw it before the dump (podman unpause, systemctl thaw)", NULL)
KIND(STOPPED, "stopped", REFUSE, "is stopped by a signal",
     "send SIGCONT before dumping (kill -CONT PID, or criu-cuda wake PID if it was restored "
     "with --leave-stopped)",
     NULL)
KIND(TRACED, "traced", REFUSE, "is traced by another process", "detach the debugger or strace",
     NULL)
KIND(DEAD_LEADER, "dead-leader", REFUSE,
     "has ended, but is not collected or has threads that still run",
     "let its parent collect it, or let the threads end", NULL)
KIND(ADDRESS_SPACE, "address-space", GUESS,
     "has a limit of address space that its device memory would exceed",
     "raise RLIMIT_AS (prlimit --as=unlimited --pid PID)", NULL)
KIND(DESCRIPTORS, "descriptors", GUESS, "has almost as many descriptors open as it may",
     "raise RLIMIT_NOFILE (prlimit --nofile=1048576:1048576 --pid PID)", NULL)
KIND(MAPPINGS, "mappings", GUESS, "has almost as many mappings as the kernel allows",
     "raise vm.max_map_count (sysctl -w vm.max_map_count=1048576)", NULL)
KIND(RUN_DIR, "run-dir", WARN,
     "cannot use the pool daemon: the path of the run directory is too long for a socket",
     "set CRIU_CUDA_RUN_DIR to a shorter path", NULL)
KIND(RUN_DIR_REFUSED, "run-dir-refused", REFUSE,
     "cannot be dumped with this run directory, which others could change",
     "remove the directory, or set CRIU_CUDA_RUN_DIR to a directory of your own", NULL)
KIND(SERVICE_THREAD, "service-thread", WARN,
     "has the interceptor, but the interceptor's service thread did not start",
     "the driver moves all of its device memory; start it with larger thread stacks (ulimit -s), "
     "or see "
     "CRIU_CUDA_INTERCEPT_DEBUG",
     NULL)
KIND(PROTOCOL, "protocol", REFUSE, "was started with an interceptor of another version",
     "restart it with the interceptor of this version, or use variant full, stock or remap", NULL)
KIND(FOREIGN_INTERCEPTOR, "interceptor", WARN,
     "was started with an interceptor of another version, so the driver moves all of its device "
     "memory",
     "restart it with the interceptor of this version", NULL)
KIND(DRIVER, "driver", REFUSE, "uses a GPU, and the driver cannot checkpoint it",
     "install the NVIDIA driver 570 or newer, or set CRIU_CUDA_DRIVER", NULL)
KIND(SHARED_GPU, "shared-gpu", WARN,
     "shares its GPU with a process outside the tree, which may take the memory that the "
     "dump frees for a while",
     "use variant parallel or full with the interceptor, or end the other process first", NULL)
