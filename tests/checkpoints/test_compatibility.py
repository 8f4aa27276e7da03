"""Comparison of the weights of a checkpoint with those of a model."""

import pytest

from rotated_atss.checkpoints.compatibility import check_state_dict_fits
from rotated_atss.errors import UserError

EXPECTED = {"neck.weight": (4, 8), "bbox_head.retina_cls.weight": (15, 4), "bbox_head.retina_cls.bias": (15,)}


def fault(given, **options):
    with pytest.raises(UserError) as caught:
        check_state_dict_fits(given, EXPECTED, where="a.pth", **options)
    return str(caught.value)


def test_same_names_and_shapes_fit():
    check_state_dict_fits(EXPECTED, EXPECTED, where="a.pth")
    check_state_dict_fits(EXPECTED, {**EXPECTED, "neck.bn.num_batches_tracked": ()}, where="a.pth")


def test_missing_unexpected_and_differing_weights_are_counted_per_part():
    given = {"neck.weight": (4, 9), "bbox_head.retina_cls.bias": (15,), "roi.weight": (1,), "roi.bias": (1,)}
    assert fault(given, model="my_config", hint="use --config") == (
        "a.pth: these are weights of another model than my_config: "
        "1 missing (bbox_head 1; first: bbox_head.retina_cls.weight); 2 unexpected (roi 2; first: roi.weight); "
        "1 of another shape (neck 1; first: neck.weight, got (4, 9), expected (4, 8)) (use --config)"
    )


def test_another_number_of_classes_has_its_own_hint():
    given = {**EXPECTED, "bbox_head.retina_cls.weight": (16, 4), "bbox_head.retina_cls.bias": (16,)}
    assert "(another number of classes: --cfg-options model.bbox_head.num_classes=N" in fault(given)
    assert "(give the config they were trained with)" in fault({**given, "neck.weight": (4, 9)})
