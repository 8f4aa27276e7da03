"""The exception for user errors, and helpers that format messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class UserError(Exception):
    """Error in a user's input, which the command line prints as one line without a traceback.

    The message is ``where: what (hint)``.

    Args:
        what: Description of the error, with the received value.
        where: Place of the error: an option, a file, or a line of a file as ``path:line``.
        hint: How to fix the error.

    Example:
        >>> print(UserError("unknown class 'car'", where="P0001.txt:3", hint="add it to --classes"))
        P0001.txt:3: unknown class 'car' (add it to --classes)
    """

    def __init__(self, what: str, *, where: object = None, hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        prefix = f"{where}: " if where is not None else ""
        suffix = f" ({hint})" if hint else ""
        super().__init__(printable(f"{prefix}{what}{suffix}"))

    def __reduce__(self) -> tuple[Callable[..., UserError], tuple[type[UserError], str, object, str]]:
        # Errors of worker processes are pickled. By default, unpickling calls the initializer with the message only,
        # which fails for a subclass whose initializer has other arguments.
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def add_hint(error: BaseException, hint: str) -> None:
    """Add a hint to an exception: to the message of a :class:`UserError`, and as a note to any other exception.

    The command line prints the notes.

    Example:
        >>> error = UserError("the image is truncated", where="a.png", hint="download it again")
        >>> add_hint(error, "3 of 4 images are done")
        >>> print(error)
        a.png: the image is truncated (download it again; 3 of 4 images are done)
    """
    if isinstance(error, UserError):
        hints = "; ".join(filter(None, (error.hint, hint)))
        # This composes the message again. The initializer of a subclass may have other arguments, so that of UserError
        # is called.
        UserError.__init__(error, error.what, where=error.where, hint=hints)
    else:
        error.__notes__ = [*notes_of(error), hint]  # the method add_note needs Python 3.11


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an exception.

    Example:
        >>> error = KeyboardInterrupt()
        >>> add_hint(error, "3 of 4 images are done")
        >>> notes_of(error)
        ['3 of 4 images are done']
    """
    return list(getattr(error, "__notes__", ()))


def printable(text: str, max_length: int = 2000) -> str:
    r"""Return a string as one line without control characters, so that names from files cannot control a terminal.

    Args:
        text: Any string.
        max_length: Strings with more characters than this are shortened in the middle to about this length.

    Example:
        >>> printable("a\x1b[31m\nb")
        'a\\x1b[31m b'
    """
    if len(text) > max_length:
        text = f"{text[: max_length // 2]} ... {text[-max_length // 2 :]}"
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)


def quote(value: object, max_length: int = 80) -> str:
    """Return a value in quotes for a message, shortened in the middle if it has more than ``max_length`` characters.

    Example:
        >>> quote("ship"), quote("x" * 500, max_length=8)
        ("'ship'", "'xxxx ... xxxx'")
    """
    return f"'{printable(str(value), max_length)}'"


def count_of(number: int, noun: str) -> str:
    """Return a number and a noun in the singular or the plural.

    Args:
        number: The number.
        noun: An English noun in the singular.

    Example:
        >>> count_of(1, "image"), count_of(0, "image"), count_of(2, "class"), count_of(3, "category")
        ('1 image', '0 images', '2 classes', '3 categories')
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x", "ch", "sh")) and noun != "epoch":  # the plural is epochs
        return f"{number} {noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}s"


def first_of(names: Sequence[str]) -> str:
    """Return the first of some names and the number of the others, for a message.

    Args:
        names: At least one name.

    Example:
        >>> first_of(["P1.png"]), first_of(["P1.png", "P2.png", "P3.png"])
        ('P1.png', 'P1.png and 2 more')
    """
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def is_or_are(number: int) -> str:
    """Return "is" for one item and "are" for any other number of items.

    Example:
        >>> is_or_are(1), is_or_are(2)
        ('is', 'are')
    """
    return "is" if number == 1 else "are"


def _rebuild(error_type: type[UserError], what: str, where: object, hint: str) -> UserError:
    error = error_type.__new__(error_type)
    UserError.__init__(error, what, where=where, hint=hint)
    return error
