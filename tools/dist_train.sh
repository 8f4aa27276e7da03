#!/usr/bin/env bash
# Train on several GPUs of one machine (or, without any, in several CPU processes): tools/dist_train.sh CONFIG NUMBER [train's options]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES [options of train]" >&2
    exit 2
fi
config=$1 number=$2
shift 2
exec python -m torch.distributed.run --standalone --nproc_per_node="$number" "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
