"""TIFF files of any kind of pixels, without compression."""

import struct

import numpy as np

SHORT, LONG, LONG8 = 3, 4, 16
_CODES = {SHORT: "H", LONG: "I", LONG8: "Q"}
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


def tiff_bytes(pixels, photometric, *, extra=(), planar=False, order="<", big=False, orientation=1):
    """Return a TIFF file with one strip, or one per band.

    Args:
        pixels: (H, W) or (H, W, C); bool gives one bit per sample.
        photometric: Value of PhotometricInterpretation.
        extra: Values of ExtraSamples.
        planar: Store every band in a strip of its own.
        order: "<" or ">".
        big: Write a BigTIFF.
        orientation: Value of Orientation.
    """
    height, width, bands = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    one_bit = pixels.dtype == bool
    if one_bit:
        strips = [np.packbits(pixels, axis=1).tobytes()]
    else:
        ordered = pixels.reshape(height, width, bands).astype(pixels.dtype.newbyteorder(order))
        strips = [ordered[..., band].tobytes() for band in range(bands)] if planar else [ordered.tobytes()]
    position = LONG8 if big else LONG
    first = 16 if big else 8
    starts = [first + sum(map(len, strips[:index])) for index in range(len(strips))]
    fields = [
        (256, SHORT, [width]), (257, SHORT, [height]), (258, SHORT, [1 if one_bit else 8 * pixels.itemsize] * bands),
        (259, SHORT, [1]), (262, SHORT, [photometric]), (273, position, starts), (274, SHORT, [orientation]),
        (277, SHORT, [bands]), (278, SHORT, [height]), (279, position, [len(strip) for strip in strips]),
        (284, SHORT, [2 if planar else 1]), (338, SHORT, list(extra)),
        (339, SHORT, [1 if one_bit else _SAMPLE_FORMATS[pixels.dtype.kind]] * bands),
    ]  # fmt: skip
    return _assemble(b"".join(strips), [field for field in fields if field[2]], order, big)


def _assemble(data, fields, order, big):
    data += bytes(len(data) % 2)
    magic = {"<": b"II", ">": b"MM"}[order]
    header_size, inline = (16, 8) if big else (8, 4)
    directory = header_size + len(data)
    outside = directory + (8 + 20 * len(fields) + 8 if big else 2 + 12 * len(fields) + 4)
    entries, values = b"", b""
    for tag, kind, numbers in fields:
        body = struct.pack(f"{order}{len(numbers)}{_CODES[kind]}", *numbers)
        if len(body) > inline:
            place = struct.pack(f"{order}{'Q' if big else 'I'}", outside + len(values))
            values, body = values + body + bytes(len(body) % 2), place
        entries += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, len(numbers)) + body.ljust(inline, b"\0")
    if big:
        header = magic + struct.pack(f"{order}HHHQ", 43, 8, 0, directory)
        return header + data + struct.pack(f"{order}Q", len(fields)) + entries + bytes(8) + values
    header = magic + struct.pack(f"{order}HI", 42, directory)
    return header + data + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + values
