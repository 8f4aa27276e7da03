"""Class maps, which rename or drop classes in a conversion: ``old=new,...`` on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rotated_atss.errors import UserError, count_of, quote

OTHERS = "*"
"""As a key of a class map: all classes that it does not list. As a new name: the old name."""


def parse_class_map(text: str) -> dict[str, str]:
    """Parse a class map such as ``old=new,...``.

    Args:
        text: Pairs separated by commas. An empty new name drops the objects of a class; ``*=new`` renames all classes
            that are not listed, and ``*=*`` keeps them.

    Returns:
        New name by old name.

    Raises:
        UserError: A pair has no ``=``, or an old name is empty or occurs twice.

    Example:
        >>> parse_class_map("Small Car=small-vehicle,Bus=")
        {'Small Car': 'small-vehicle', 'Bus': ''}
    """
    class_map: dict[str, str] = {}
    for pair in text.split(","):
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not equals or not old or old in class_map:
            what = "names a class twice" if old in class_map else "is not of the form old=new"
            raise UserError(f"{quote(pair)} {what}", where="--class-map", hint="write old=new,old=new")
        class_map[old] = new
    return class_map


def map_class(name: str, class_map: Mapping[str, str], where: object) -> str:
    """Return the new name of a class, or an empty string if its objects are dropped.

    Raises:
        UserError: The map does not list the class.

    Example:
        >>> map_class("Bus", {"*": "vehicle"}, "P1.xml:3"), map_class("Bus", {"Van": "", "*": "*"}, "P1.xml:3")
        ('vehicle', 'Bus')
        >>> map_class("Bus", {"Van": "vehicle"}, "P1.xml:3")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: P1.xml:3: the class 'Bus' is not in the class map (add Bus=NEW, ...
    """
    new = class_map.get(name, class_map.get(OTHERS))
    if new == OTHERS:
        return name
    if new is None:
        hint = f"add {name}=NEW, {name}= to drop the class, or *=NEW for all classes not listed"
        raise UserError(f"the class {quote(name)} is not in the class map", where=where, hint=hint)
    return new


def unused_names_note(class_map: Mapping[str, str] | None, object_classes: Iterable[str]) -> str:
    """Return a note on the classes of a class map that no object has, because they may be misspelled.

    Args:
        class_map: New name by old name, or None.
        object_classes: Class names of the objects, before renaming.

    Returns:
        The note; an empty string if every listed class has objects.

    Example:
        >>> unused_names_note({"Bus": "vehicle", "van": "vehicle", "*": "*"}, ["Bus", "Van"])
        'no object has the class listed in the class map: van'
    """
    unused = sorted(set(class_map or ()) - {OTHERS} - set(object_classes))
    if not unused:
        return ""
    which = "the class" if len(unused) == 1 else f"the {count_of(len(unused), 'class')}"
    return f"no object has {which} listed in the class map: {', '.join(unused)}"
