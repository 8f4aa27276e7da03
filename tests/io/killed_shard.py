"""A program's first lines, with which it is killed at the third record of shard 1/2, in the middle of a line."""

KILL_AT_THIRD_RECORD = """
import os, signal
from rotated_atss.io.shards import Shard
from rotated_atss.io.shared_run import SharedRun
def record(run, key, result, record=SharedRun.record, done=[]):
    done.append(key)
    if len(done) == 3:
        with open(run.folder / "finished-1-of-2.jsonl", "ab") as file:
            file.write(b'{"key": "0')
        os.kill(os.getpid(), signal.SIGKILL)
    record(run, key, result)
SharedRun.record = record
"""
