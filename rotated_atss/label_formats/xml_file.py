"""Parse XML label files with line numbers, and reject document types and entities, which allow expansion attacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from rotated_atss.dota._fields import parse_finite
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes


@dataclass
class XmlElement:
    """An element: its tag, attributes, text and children, and the line of its start."""

    tag: str
    attributes: dict[str, str]
    path: Path
    line: int
    text: str = ""
    children: list[XmlElement] = field(default_factory=list)

    @property
    def where(self) -> str:
        """``path:line`` of the start tag."""
        return f"{self.path}:{self.line}"

    def find_all(self, tag: str) -> list[XmlElement]:
        """Return the children with a tag."""
        return [child for child in self.children if child.tag == tag]

    def find(self, *tags: str) -> XmlElement | None:
        """Return the element at the end of a path of tags; None if there is no such element.

        If several children of an element have the next tag of the path, the path continues in the first of them.
        """
        element = self
        for tag in tags:
            child = next((child for child in element.children if child.tag == tag), None)
            if child is None:
                return None
            element = child
        return element

    def get(self, tag: str) -> XmlElement:
        """Return the first child with a tag.

        Raises:
            UserError: There is no such child. The message starts with ``path:line``.
        """
        child = self.find(tag)
        if child is None:
            raise UserError(f"<{self.tag}> has no <{tag}>", where=self.where)
        return child

    def child_text(self, tag: str, default: str = "") -> str:
        """Return the stripped text of the first child with a tag; ``default`` if there is no such child or no text."""
        child = self.find(tag)
        text = "" if child is None else child.text.strip()
        return text or default

    def number(self, tag: str) -> float:
        """Return the text of the first child with a tag as a finite number.

        Raises:
            UserError: There is no such child, or its text is not a finite number.
        """
        child = self.get(tag)
        return parse_finite(child.text.strip(), child.path, child.line)

    def attribute(self, name: str) -> str:
        """Return an attribute. Raises UserError if it is missing."""
        if name not in self.attributes:
            raise UserError(f"<{self.tag}> has no attribute {name}", where=self.where)
        return self.attributes[name]

    def attribute_number(self, name: str) -> float:
        """Return an attribute as a finite number.

        Raises:
            UserError: The attribute is missing or not a finite number.
        """
        return parse_finite(self.attribute(name), self.path, self.line)

    def flag(self, tag: str) -> int:
        """Return the text of a child as 0, 1 or 2; 0 if the child is missing. Raises UserError for any other text."""
        text = self.child_text(tag, "0")
        if text not in ("0", "1", "2"):
            raise UserError(f"<{tag}> must be 0, 1 or 2, got {quote(text)}", where=self.where)
        return int(text)

    def size(self) -> tuple[int, int] | None:
        """Return the image width and height in the child ``size``; None if they are not known.

        They are not known if there is no such child, or if the width or the height is below 1, because tools write 0
        for an unknown size.

        Raises:
            UserError: The width or the height is missing or not a number, or not an integer although both are 1 or
                more.
        """
        element = self.find("size")
        if element is None:
            return None
        width, height = element.number("width"), element.number("height")
        if width < 1 or height < 1:
            return None
        return to_image_size(width, height, element.where)


def to_image_size(width: float, height: float, where: object) -> tuple[int, int]:
    """Return width and height of an image as integers. Raises UserError unless both are positive integers.

    Example:
        >>> to_image_size(640.0, 480.0, "P1.xml")
        (640, 480)
    """
    if not (width.is_integer() and height.is_integer() and min(width, height) >= 1):
        what = f"width and height of an image must be positive integers, got {width:g} x {height:g}"
        raise UserError(what, where=where)
    return int(width), int(height)


def read_xml(path: Path) -> XmlElement:
    r"""Read an XML file.

    Returns:
        The root element.

    Raises:
        UserError: The file is missing, not well formed, or declares a document type or an entity.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.xml").write_text("<annotation>\n<filename>a.png</filename></annotation>")
        ...     root = read_xml(Path(folder, "a.xml"))
        >>> root.tag, root.child_text("filename"), root.children[0].line
        ('annotation', 'a.png', 2)
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True  # fewer calls of CharacterDataHandler
    roots: list[XmlElement] = []  # one element after parsing, because expat rejects files with several roots
    open_elements: list[XmlElement] = []  # the root and its descendants down to the current element

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = XmlElement(tag, attributes, path, parser.CurrentLineNumber)
        siblings = open_elements[-1].children if open_elements else roots
        siblings.append(element)
        open_elements.append(element)

    def reject_declaration(*_: object) -> None:
        what = "declarations of document types and entities are not supported"
        raise UserError(what, where=f"{path}:{parser.CurrentLineNumber}", hint="remove the DOCTYPE")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop()
    parser.CharacterDataHandler = lambda text: _append_text(open_elements[-1], text)
    parser.StartDoctypeDeclHandler = reject_declaration
    parser.EntityDeclHandler = reject_declaration
    try:
        parser.Parse(read_bytes(path), True)
    except expat.ExpatError as error:
        message = f"not well-formed XML: {expat.ErrorString(error.code)}"
        raise UserError(message, where=f"{path}:{error.lineno}", hint="check that the file is complete") from None
    except (ValueError, LookupError) as error:  # the file declares an unknown encoding
        raise UserError(f"not readable XML: {error}", where=path) from None
    return roots[0]


def xml_tag(tag: str, content: object) -> str:
    """Return an XML element with escaped text.

    Example:
        >>> xml_tag("name", "a & b")
        '<name>a &amp; b</name>'
    """
    # Imported here, because xml.sax.saxutils imports urllib.request, which readers do not need.
    from xml.sax.saxutils import escape

    return f"<{tag}>{escape(str(content))}</{tag}>"


def xml_attributes(**attributes: object) -> str:
    """Return escaped attributes of a start tag, each with a leading space.

    Example:
        >>> xml_attributes(label="a < b", xtl=1.5)
        ' label="a &lt; b" xtl="1.5"'
    """
    from xml.sax.saxutils import quoteattr

    return "".join(f" {name}={quoteattr(str(value))}" for name, value in attributes.items())


def _append_text(element: XmlElement, text: str) -> None:
    element.text += text
