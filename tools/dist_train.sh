#!/usr/bin/env bash
# Train on several GPUs of one machine, or in several CPU processes where there is no GPU.
# usage: tools/dist_train.sh CONFIG NUM_PROCESSES [options of train]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: tools/dist_train.sh CONFIG NUM_PROCESSES [options of train]" >&2
    exit 2
fi
config=$1 num_processes=$2
shift 2
exec python -m torch.distributed.run --standalone --nproc_per_node="$num_processes" "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
