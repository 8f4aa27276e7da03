"""The one exception that speaks to the user."""


class UserError(Exception):
    """A mistake in what the user gave: told in one line, without a traceback.

    Args:
        what: What is wrong, with the value received.
        where: A path, or ``path:line`` for a line of a text file.
        hint: What to do about it.
    """

    def __init__(self, what: str, *, where: object = None, hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        prefix = f"{where}: " if where is not None else ""
        suffix = f" ({hint})" if hint else ""
        super().__init__(" ".join(f"{prefix}{what}{suffix}".split()))

    def __reduce__(self):  # keyword arguments do not survive the default pickling of exceptions (worker processes)
        return (_rebuild, (self.what, self.where, self.hint))


def _rebuild(what: str, where: object, hint: str) -> UserError:
    return UserError(what, where=where, hint=hint)
