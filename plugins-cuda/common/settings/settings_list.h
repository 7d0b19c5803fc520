// SPDX-License-Identifier: MIT
/*
 * The list of all settings.
 * NUMBER(key, field, default, min, max)   a decimal number
 * CHOICE(key, field, default, "a|b|c")    one word; its position is the value
 * FLAGS(key, field, default, "a|b")       words joined by commas, or "off"; one bit each
 * TEXT(key, field, default)               any text that fits
 */
NUMBER("CRIU_CUDA_PARALLEL_RESTORE", parallel_restore, "1", 0, 1)
NUMBER("CRIU_CUDA_STREAMS", streams, "8", 1, 32)
NUMBER("CRIU_CUDA_CHUNK_MB", chunk_mb, "4", 1, 512)
NUMBER("CRIU_CUDA_CONTEXT_POOL", context_pool, "1", 0, 1)
NUMBER("CRIU_CUDA_HOLD", hold, "0", 0, 1)
NUMBER("CRIU_CUDA_POOL_BUDGET_MB", pool_budget_mb, "0", 0, 16777216)
NUMBER("CRIU_CUDA_REMAP", remap, "1", 0, 1)
NUMBER("CRIU_CUDA_REMAP_MIN_MB", remap_min_mb, "1", 1, 1048576)
NUMBER("CRIU_CUDA_READAHEAD", readahead, "1", 0, 1)
NUMBER("CRIU_CUDA_LATE_MEMORY", late_memory, "1", 0, 1)
FLAGS("CRIU_CUDA_INTERCEPT", intercept, "memory,memcpy", "memory|memcpy")
NUMBER("CRIU_CUDA_INTERCEPT_DEBUG", intercept_debug, "0", 0, 4)
NUMBER("CRIU_CUDA_MEMCPY_MIN_MB", memcpy_min_mb, "16", 1, 1048576)
NUMBER("CRIU_CUDA_LOCK_TIMEOUT_MS", lock_timeout_ms, "10000", 1, 3600000)
NUMBER("CRIU_CUDA_STEP_TIMEOUT_MS", step_timeout_ms, "600000", 100, 86400000)
NUMBER("CRIU_CUDA_COPY_TIMEOUT_MS", copy_timeout_ms, "3600000", 100, 86400000)
NUMBER("CRIU_CUDA_UNDO_TIMEOUT_MS", undo_timeout_ms, "60000", 100, 86400000)
CHOICE("CRIU_CUDA_STORAGE", storage, "auto", "auto|driver|off")
NUMBER("CRIU_CUDA_STORAGE_STREAMS", storage_streams, "4", 1, 32)
NUMBER("CRIU_CUDA_STORAGE_CHUNK_MB", storage_chunk_mb, "32", 1, 512)
CHOICE("CRIU_CUDA_HANDOVER", handover, "auto", "auto|adopt|map")
NUMBER("CRIU_CUDA_VERIFY", verify, "1", 0, 1)
NUMBER("CRIU_CUDA_WAIT", wait, "1", 0, 1)
NUMBER("CRIU_CUDA_FORCE", force, "0", 0, 1)
TEXT("CRIU_CUDA_DEVICE_MAP", device_map, "")
CHOICE("CRIU_CUDA_IO", io, "auto", "auto|pread|direct|mmap")
CHOICE("CRIU_CUDA_SYNC", sync, "auto", "auto|0|1")
TEXT("CRIU_CUDA_PREV_IMAGES_DIR", prev_images_dir, "")
CHOICE("CRIU_CUDA_DEVICE_SCAN", device_scan, "auto", "auto|on|off")
TEXT("CRIU_CUDA_DRIVER", driver, "")
TEXT("CRIU_CUDA_RUN_DIR", run_dir, "/run/criu-cuda")
