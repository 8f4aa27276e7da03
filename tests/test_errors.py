"""One-line errors."""

import pickle

from rotated_atss.errors import UserError
from rotated_atss.io.image_header import UnreadableImageError


def test_error_of_a_worker_process_keeps_its_class():
    error = UnreadableImageError("the image is truncated", where="a.png", hint="download it again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is UnreadableImageError
    assert str(copy) == str(error) == "a.png: the image is truncated (download it again)"
    assert (copy.what, copy.where, copy.hint) == (error.what, error.where, error.hint)


def test_error_whose_initializer_has_other_arguments_can_be_pickled():
    copy = pickle.loads(pickle.dumps(MissingFileError("a.txt")))
    assert type(copy) is MissingFileError
    assert str(copy) == "a.txt: the file is missing"


class MissingFileError(UserError):
    """A class with another initializer than :class:`UserError`."""

    def __init__(self, path: str) -> None:
        super().__init__("the file is missing", where=path)
