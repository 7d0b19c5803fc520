#!/bin/sh
# SPDX-License-Identifier: MIT
# Prolog of slurmd: has the pool daemon load the partition's golden checkpoint into device memory while Slurm starts the
# job. The first job on a node waits for the load, later ones find it there.
#
# Slurm drains a node whose prolog fails. A load that fails must not do that: the restore reads the files then.
. "$(dirname "$0")/golden.conf"

images=$(golden_images "${SLURM_JOB_PARTITION:-}")
[ -n "$images" ] || exit 0
said=$(criu-cuda pool prefetch --golden "$images" 2>&1) ||
	logger --tag criu-cuda-prolog "job ${SLURM_JOB_ID:-}: $images is not prefetched: $said"
exit 0
