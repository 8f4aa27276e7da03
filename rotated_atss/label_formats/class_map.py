"""Class maps, which rename or drop classes in a conversion: ``old=new,...`` on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rotated_atss.errors import UserError, count_of, quote

OTHERS = "*"
"""As an old name in a class map: all classes that the map does not list. As a new name: the old name is kept."""


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
            problem = "repeats an old name" if old in class_map else "is not a pair old=new"
            raise UserError(f"{quote(pair)} {problem}", where="--class-map", hint="write old1=new1,old2=new2")
        class_map[old] = new
    return class_map


def map_class(name: str, class_map: Mapping[str, str], where: object) -> str:
    """Return the new name of a class, or an empty string if the objects of the class are dropped.

    Args:
        name: The old name of the class.
        class_map: New name by old name (:func:`parse_class_map`).
        where: Position of the object in a label file, for the error.

    Raises:
        UserError: The map does not list the class.

    Example:
        >>> map_class("Bus", {"*": "vehicle"}, "P1.xml:3")
        'vehicle'
        >>> map_class("Bus", {"Van": "", "*": "*"}, "P1.xml:3")
        'Bus'
        >>> map_class("Bus", {"Van": "vehicle"}, "P1.xml:3")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: P1.xml:3: the class 'Bus' is not in the class map (add Bus=NEW, ...
    """
    new = class_map.get(name, class_map.get(OTHERS))
    if new == OTHERS:
        return name
    if new is None:
        hint = f"add {name}=NEW, {name}= to drop the class, or *=NEW for all classes that are not listed"
        raise UserError(f"the class {quote(name)} is not in the class map", where=where, hint=hint)
    return new


def unused_names_note(class_map: Mapping[str, str] | None, object_classes: Iterable[str]) -> str:
    """Return a note that lists the classes of a class map without any object. Such names may be misspelled.

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
    classes = "the class" if len(unused) == 1 else f"the {count_of(len(unused), 'class')}"
    return f"no object has {classes} listed in the class map: {', '.join(unused)}"
