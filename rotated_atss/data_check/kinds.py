"""Kinds of problems of a dataset: their severity, advice to the user, and what ``--fix`` does about them."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"
# Limits beyond which objects are reported, chosen so that correct labels rarely exceed them.
TINY_SIDE_PX = 2.0
MAX_ASPECT_RATIO = 50.0
OUTSIDE_TOLERANCE_PX = 1.0  # more than the error of coordinates that are rounded to whole pixels
SAME_OBJECT_IOU = 0.9


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: Name in reports and in JSON.
        severity: ``error`` (a command stops at it, or its result is wrong) or ``warning``.
        meaning: What is wrong, in the singular.
        advice: What to do about it, one sentence.
        fix: How the problem is fixed in a cleaned copy of images and label files; empty if it remains.
        coco_fix: How the problem is fixed in a cleaned copy of COCO JSON; empty if it remains.
    """

    name: str
    severity: str
    meaning: str
    advice: str
    fix: str = ""
    coco_fix: str = ""


_IMAGE_KINDS = (
    Kind("unlabeled-image", ERROR, "an image has no labels",
         "Add its label file (an empty one if it has no objects), or remove the image.", "left out"),
    Kind("missing-image", ERROR, "labels have no image",
         "Add the image, or remove its labels.", "left out",
         coco_fix="removed with its annotations"),
    Kind("unreadable-image", ERROR, "an image is empty, damaged or not an image",
         "Download or convert it again.", "left out with its labels",
         coco_fix="removed with its annotations"),
    Kind("truncated-image", ERROR, "an image file ends before its pixels do",
         "Download it again.", "left out with its labels",
         coco_fix="removed with its annotations"),
    Kind("damaged-pixels", WARNING, "the decoder of an image reports damaged data, and decodes the rest",
         "Look at the image. If it is damaged, download it again."),
    Kind("unsupported-image", ERROR, "the pixel format of an image is not supported",
         "Convert it to 8-bit or 16-bit RGB.", "left out with its labels",
         coco_fix="removed with its annotations"),
    Kind("image-name", ERROR, "an image name has a space or a control character, or is too long",
         "Rename the image and its label file."),
    Kind("shared-name", ERROR, "two files of a folder differ only in their suffix or in upper and lower case",
         "Remove or rename one of them."),
    Kind("wrong-suffix", WARNING, "the suffix of an image does not fit the format of its content",
         "Rename the file, because other programs can refuse it.", "renamed to match its format",
         coco_fix="renamed to match its format"),
    Kind("skipped-file", WARNING, "a file looks like an image in a format that is not supported",
         "Convert it, or remove it from the folder."),
    Kind("uniform-image", WARNING, "all pixels of an image have the same color",
         "Check that the image is not blank by mistake."),
    Kind("size-mismatch", ERROR, "the size stated in the labels differs from the size of the image",
         "Check that the labels were made on this version of the image."),
    Kind("leaked-image", ERROR, "two sets share an image (same bytes or same pixels)",
         "Remove it from one set; otherwise, the evaluation is too optimistic."),
    Kind("duplicate-image", WARNING, "an image occurs twice in a set (same bytes or same pixels)",
         "Compare the labels of both, then remove one of them."),
    Kind("same-name", WARNING, "images of two sets have the same name, but different content",
         "Rename one of them: tiles and results are named after the image."),
)  # fmt: skip
_LABEL_KINDS = (
    Kind("unreadable-labels", ERROR, "a label file cannot be read, or is in another format",
         "Repair it, or name its format with --label-format.", "left out"),
    Kind("malformed-line", ERROR, "a line or an entry of a label file is malformed",
         "Correct or remove it.", "removed"),
    Kind("normalized-coordinates", ERROR, "all coordinates of a file lie between 0 and 1",
         "Multiply them by the width and the height of the image."),
    Kind("difficult-flag", ERROR, "a difficult flag is not 0, 1 or 2",
         "Write 0, 1 or 2 (truncated by splitting).", "0 if the flag means zero, no or false; otherwise 1"),
    Kind("misspelled-class", ERROR, "a class name is almost the same as one of --classes",
         "Correct the name.", "corrected",
         coco_fix="corrected"),
    Kind("unknown-class", ERROR, "a class name is not one of --classes",
         "Correct the name, add it to --classes, or rename it with --class-map."),
    Kind("similar-classes", WARNING, "two class names differ only in case, hyphens or a letter",
         "Use one spelling, or pass the class list with --classes."),
    Kind("changed-object", WARNING, "the reader of the format changes or leaves out objects of a file",
         "Check that this is intended: polygons without four corners need --fit-polygons in other commands.",
         "written as the reader changed them"),
    Kind("zero-area", WARNING, "an object has no area",
         "Redraw the polygon in the labeling tool, or delete it. Splitting omits it.", "removed",
         coco_fix="removed"),
    Kind("self-crossing", WARNING, "two sides of a polygon cross, because its corners are in a wrong order",
         "List the corners in clockwise order.", "corners in clockwise order"),
    Kind("vertex-order", WARNING, "the corners are in counterclockwise order",
         "List them in clockwise order, as DOTA does; this package reads both.", "corners in clockwise order"),
    Kind("outside-image", ERROR, "an object lies completely outside its image",
         "Check that the labels belong to this version of the image.",
         coco_fix="removed"),
    Kind("partly-outside", WARNING, f"an object extends beyond its image by more than {OUTSIDE_TOLERANCE_PX:g} px",
         "Check the object: in training, its box includes the part outside the image."),
    Kind("duplicate-object", ERROR, "an object is listed twice, with equal corners and class",
         "Remove one, because the second counts as missed in the evaluation.", "all but one removed",
         coco_fix="all but one removed"),
    Kind("two-classes", WARNING, f"objects of different classes have an IoU of at least {SAME_OBJECT_IOU:g}",
         "Decide on one class, unless both are meant."),
    Kind("tiny-object", WARNING, f"the shorter side of an object is below {TINY_SIDE_PX:g} px",
         "Check the object: a detector cannot learn it."),
    Kind("aspect-ratio", WARNING, f"an object is more than {MAX_ASPECT_RATIO:g} times as long as wide",
         "Check the object."),
    Kind("larger-than-image", WARNING, "an object is longer than the diagonal of its image",
         "Check that the coordinates are pixels of this image."),
)  # fmt: skip
_COCO_KINDS = (
    Kind("malformed-entry", ERROR, "an entry of a COCO file is malformed",
         "Correct or remove it.",
         coco_fix="a malformed size is read from the image, a malformed area is recomputed, a malformed segmentation "
         "is removed, unprintable characters are removed from a name, and a category with the name of an earlier one "
         "is merged with it; other malformed entries are removed with their annotations"),
    Kind("duplicate-id", ERROR, "an id occurs twice in a COCO file",
         "Renumber the entries.",
         coco_fix="a repeated annotation gets a new id; a repeated image or category is removed"),
    Kind("unknown-id", ERROR, "an annotation refers to an image or a category that is not in the file",
         "Correct the id, or remove the annotation.",
         coco_fix="removed"),
    Kind("file-name", ERROR, "a COCO file lists an image twice",
         "List each image once.",
         coco_fix="merged with the first entry"),
    Kind("unlisted-image", WARNING, "an image of the folder is not in the COCO file",
         "Add it to the file, or remove it from the folder.",
         coco_fix="left out"),
    Kind("wrong-area", WARNING, "the area of an annotation is negative, or larger than the area of its box",
         "Recompute it, because the evaluation divides objects into size ranges by it.",
         coco_fix="recomputed from the polygons, or from the box if there are none"),
    Kind("wrong-crowd", WARNING, "iscrowd is not 0 or 1, or a crowd has polygons instead of a run-length mask",
         "Write 0 or 1; COCO encodes crowds as run-length masks."),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*_IMAGE_KINDS, *_LABEL_KINDS, *_COCO_KINDS)}
"""Kinds by name, in the order of reports."""


def kinds_table() -> list[str]:
    """Return the lines of a Markdown table of all kinds, for the documentation.

    Example:
        >>> kinds_table()[2].split(" | ")[:2]
        ['| `unlabeled-image`', 'error']
    """
    rows = [
        ("kind", "severity", "meaning", "what to do", "`--fix`", "`--fix` with `--coco`"),
        ("---",) * 6,
        *(
            (f"`{kind.name}`", kind.severity, kind.meaning, kind.advice, kind.fix or "-", kind.coco_fix or "-")
            for kind in KINDS.values()
        ),
    ]
    return [f"| {' | '.join(cells)} |" for cells in rows]
