#!/usr/bin/env bash
# Train on several hosts of a Slurm cluster. Adapt the resources, then:
# usage: sbatch tools/slurm_train.sh CONFIG [options of train]
# The clone and the data must be in folders that all hosts share. A job that is preempted or requeued resumes the training.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
if [ $# -lt 1 ]; then
    echo "usage: sbatch tools/slurm_train.sh CONFIG [options of train]" >&2
    exit 2
fi
config=$1
shift
export NNODES=$SLURM_JOB_NUM_NODES MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
export MASTER_ADDR=${hosts[0]}
# Each host expands SLURM_NODEID for itself. "train" is $0 of bash -c, and the arguments after it are "$@".
# shellcheck disable=SC2016
srun bash -c 'NODE_RANK=$SLURM_NODEID exec tools/dist_train.sh "$@"' train "$config" "${SLURM_GPUS_ON_NODE:-1}" --resume "$@"
