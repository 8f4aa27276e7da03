"""Mixed precision."""

import pytest

PUBLISHED = "rotated_atss_obb_r50_fpn_1x_dota_le90"

pytestmark = pytest.mark.usefixtures("quick")


def test_amp_on_the_cpu(run_published, tmp_path, read_scalars):
    one_step = {"train_dataloader.dataset.indices": 2, "val_dataloader.dataset.data_root": "none"}
    full = read_scalars(run_published(one_step, seed=0, work_dir=str(tmp_path / "full")))
    folder = run_published(one_step, amp=True, seed=0)
    assert "BFloat16OptimWrapper" in (folder / f"{PUBLISHED}.py").read_text()
    mixed = read_scalars(folder)
    assert mixed == [(1, pytest.approx(full[0][1], rel=0.02))]
    assert mixed != full
