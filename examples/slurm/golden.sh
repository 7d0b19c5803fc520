#!/bin/sh
# SPDX-License-Identifier: MIT
# The program of a job: restores a checkpoint on the GPUs that Slurm has chosen, and stays until the restored program ends,
# with its exit code. A canceled job ends it: SIGTERM first, then our stop.
#
#   srun --gres=gpu:1 golden.sh IMAGES_DIR [OPTION OF criu-cuda restore]…
set -eu
. "$(dirname "$0")/golden.conf"
images=$1
shift

# a GPU of the image and one of the job on each line, in the order of their numbers
shown=$(criu-cuda image show "$images")
gpus=$(criu-cuda gpu)
old=$(echo "$shown" | sed -n 's/^ *device [0-9]*: \(GPU-[^ ]*\).*/\1/p' | awk '!seen[$0]++')
new=$(echo "$gpus" | awk -v chosen="${CUDA_VISIBLE_DEVICES:-0}" '
	BEGIN { count = split(chosen, numbers, ",") }
	{ uuid[$1] = $2 }
	END { for (i = 1; i <= count; i++) print uuid[numbers[i]] }')
if [ "$(echo "$old" | wc -l)" != "$(echo "$new" | wc -l)" ]; then
	echo "golden.sh: $images needs as many GPUs as it was dumped with:" $old >&2
	echo "Slurm gave this job:" $new >&2
	exit 2
fi
# an image that is resident in device memory is on the GPU of the dump: without a map it is used
if [ "$old" != "$new" ]; then
	CRIU_CUDA_DEVICE_MAP=$(for one in $old; do
		echo "$one=$(echo "$new" | sed -n 1p)"
		new=$(echo "$new" | sed 1d)
	done | paste -sd , -)
	export CRIU_CUDA_DEVICE_MAP
fi
# jobs that restore one checkpoint at the same time share its directory, but not criu's logs; epilog.sh removes this
work=/var/tmp/criu-cuda-job-$SLURM_JOB_ID-${SLURM_PROCID:-0}
mkdir -p "$work"
exec criu-cuda restore "$images" --work-dir "$work" "$@"
