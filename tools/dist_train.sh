#!/usr/bin/env bash
# Train on several GPUs of one or more hosts, or in several CPU processes where there is no GPU.
# usage: tools/dist_train.sh CONFIG NUM_PROCESSES_PER_HOST [options of train]
# Several hosts: run the script on each of them, in the same shared folder, with these variables:
#   NNODES       number of hosts
#   NODE_RANK    0 on the first host, 1 on the second, ...
#   MASTER_ADDR  name or address of the first host
#   MASTER_PORT  free port of the first host (default: 29500)
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: tools/dist_train.sh CONFIG NUM_PROCESSES_PER_HOST [options of train]" >&2
    exit 2
fi
config=$1 num_processes=$2
shift 2
if [ "${NNODES:-1}" -gt 1 ]; then
    hosts=(--nnodes="$NNODES" --node_rank="${NODE_RANK:?set NODE_RANK}" --master_addr="${MASTER_ADDR:?set MASTER_ADDR}"
        --master_port="${MASTER_PORT:-29500}")
else
    hosts=(--standalone)
fi
exec python -m torch.distributed.run "${hosts[@]}" --nproc_per_node="$num_processes" "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
