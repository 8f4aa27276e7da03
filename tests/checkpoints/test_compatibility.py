"""Comparison of the weights of a checkpoint with those of a model."""

import pytest
import torch

from rotated_atss.checkpoints.compatibility import (
    check_state_dict_fits,
    match_pretrained_weights,
    recorded_classes,
    reorder_class_layer,
)
from rotated_atss.errors import UserError

EXPECTED = {"neck.weight": (4, 8), "bbox_head.retina_cls.weight": (15, 4), "bbox_head.retina_cls.bias": (15,)}


def fault(given, **options):
    with pytest.raises(UserError) as caught:
        check_state_dict_fits(given, EXPECTED, where="a.pth", **options)
    return str(caught.value)


def test_same_names_and_shapes_fit():
    assert check_state_dict_fits(EXPECTED, EXPECTED, where="a.pth") is None
    assert check_state_dict_fits(EXPECTED, {**EXPECTED, "neck.bn.num_batches_tracked": ()}, where="a.pth") is None


def test_missing_unexpected_and_differing_weights_are_counted_per_part():
    given = {"neck.weight": (4, 9), "bbox_head.retina_cls.bias": (15,), "roi.weight": (1,), "roi.bias": (1,)}
    assert fault(given, model="my_config", hint="use --config") == (
        "a.pth: these are weights of a model other than my_config: "
        "1 missing (bbox_head 1; first: bbox_head.retina_cls.weight); 2 unexpected (roi 2; first: roi.weight); "
        "1 of another shape (neck 1; first: neck.weight, got (4, 9), expected (4, 8)) (use --config)"
    )


def test_another_number_of_classes_has_its_own_hint():
    given = {**EXPECTED, "bbox_head.retina_cls.weight": (16, 4), "bbox_head.retina_cls.bias": (16,)}
    assert "(the number of classes differs: name the classes with --classes" in fault(given)
    assert "(give the config they were trained with)" in fault({**given, "neck.weight": (4, 9)})


SHAPES = {"backbone.w": (4, 3), "head.x_cls.weight": (2, 4), "head.x_cls.bias": (2,), "head.x_reg.weight": (5, 4)}


def test_a_partial_fit_names_every_kind():
    given = {**SHAPES, "extra.w": (1,)}
    del given["head.x_reg.weight"]
    fit = match_pretrained_weights(given, SHAPES, where="a.pth")
    assert fit.describe() == (
        "3 of 4 weights loaded; 1 missing (head 1; first: head.x_reg.weight); 1 unused (extra 1; first: extra.w)"
    )


@pytest.mark.parametrize("given", [{}, {"encoder.w": (3,)}])
def test_nothing_that_fits_is_an_error(given):
    with pytest.raises(UserError, match=rf"a\.pth: none of its {len(given)} weights? .* is one of the model's 4"):
        match_pretrained_weights(given, SHAPES, where="a.pth")


def test_a_class_layer_of_another_size_is_reset_only_on_request():
    given = {**SHAPES, "head.x_cls.weight": (3, 4), "head.x_cls.bias": (3,)}
    with pytest.raises(UserError, match=r"its class layer has another size: head\.x_cls\.weight has shape \(3, 4\)"):
        match_pretrained_weights(given, SHAPES, where="a.pth")
    fit = match_pretrained_weights(given, SHAPES, where="a.pth", reset_class_layer=True)
    assert fit.reset == ["head.x_cls.weight", "head.x_cls.bias"]
    assert "2 reinitialized (head 2; first: head.x_cls.weight)" in fit.describe()


def test_other_shapes_are_never_dropped_silently():
    with pytest.raises(UserError, match="1 of another shape"):
        match_pretrained_weights({**SHAPES, "backbone.w": (4, 1)}, SHAPES, where="a.pth", reset_class_layer=True)


def test_class_layers_are_reordered_for_every_prior_of_a_location():
    names, wanted = ["a", "b", "c"], ["c", "a", "b"]
    weight = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 1, 1).clone()  # two priors of three classes
    state = {"head.x_cls.weight": weight, "head.x_reg.weight": weight.clone()}
    moved = reorder_class_layer(state, names, wanted, where="a.pth")
    assert moved["head.x_cls.weight"][:, 0, 0, 0].tolist() == [2, 0, 1, 5, 3, 4]
    assert torch.equal(moved["head.x_reg.weight"], weight)
    back = reorder_class_layer(moved, wanted, names, where="a.pth")
    assert torch.equal(back["head.x_cls.weight"], weight)


def test_other_classes_are_refused_with_both_lists():
    with pytest.raises(UserError, match=r"trained on the classes a, b; the config has a, c \(use --classes a,b\)"):
        reorder_class_layer({}, ["a", "b"], ["a", "c"], where="a.pth")
    with pytest.raises(UserError, match="trained on the classes a, a, b; the config has a, b, a"):
        reorder_class_layer({}, ["a", "a", "b"], ["a", "b", "a"], where="a.pth")


@pytest.mark.parametrize(
    "meta", [{"dataset_meta": {"classes": ("a",)}}, {"dataset_meta": {"CLASSES": ["a"]}}, {"CLASSES": "a"}]
)
def test_recorded_classes_of_every_layout(meta):
    assert recorded_classes({"meta": meta}) == ("a",)
    assert recorded_classes({"meta": {}}) is None
    assert recorded_classes({}) is None
