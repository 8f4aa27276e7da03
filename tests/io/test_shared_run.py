"""Records of finished jobs, and the folder that shards share."""

from __future__ import annotations

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.shards import Shard
from rotated_atss.io.shared_run import RUN_FILE, SharedRun, append_record, iter_records, output_folder, records_name


@pytest.mark.parametrize("line", [b'{"key": "b", "tile', b"[]", b'{"tiles": 1}', b'{"key": "b"}', b"\xff", b"null"])
def test_damaged_records_are_skipped(tmp_path, line):
    append_record(tmp_path / records_name(Shard(1, 2)), "a", {"tiles": [1]})
    with open(tmp_path / records_name(Shard(1, 2)), "ab") as file:
        file.write(line)
    append_record(tmp_path / records_name(Shard(1, 2)), "c", {"tiles": [3]})
    append_record(tmp_path / records_name(None), "d", {"tiles": []})  # has no first item
    assert dict(iter_records(tmp_path, lambda result: result["tiles"][0])) == {"a": 1, "c": 3}


def test_every_job_belongs_to_one_shard(tmp_path):
    keys = [str(number) for number in range(10)]
    runs = [SharedRun(tmp_path, {}, Shard(index, 4), dict) for index in (1, 2, 3, 4)]
    assert sorted(key for run in runs for key in run.select(keys)) == keys
    assert SharedRun(tmp_path, {}, None, dict).select(keys) == keys


def test_a_folder_of_unknown_settings_is_refused(tmp_path):
    (tmp_path / RUN_FILE).write_text("{")
    with pytest.raises(UserError, match=r"its settings are unknown \(repeat the command with its earlier options, or"):
        SharedRun(tmp_path, {}, Shard(1, 2), dict).prepare()


def test_a_run_of_all_jobs_continues_shards_of_any_number(tmp_path):
    for shard in (Shard(1, 3), None, Shard(2, 3)):
        SharedRun(tmp_path, {"--size": "1"}, shard, dict).prepare()
    with pytest.raises(UserError, match="--size is '2', was '1'"):
        SharedRun(tmp_path, {"--size": "2"}, None, dict).prepare()


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="the output folder cannot be created"), output_folder(tmp_path / "out"):
        pass
