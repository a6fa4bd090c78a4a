"""Fixtures that write files in foreign formats."""

import struct

import pytest


@pytest.fixture
def python2():
    """Function that pickles a dict of arrays as Caffe2 does in Python 2."""
    return pickled


def pickled(blobs, settings=None) -> bytes:
    """Pickle as cPickle of Python 2 with protocol 2, where both names and bytes are `str`."""

    def text(value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)

    def array(value):
        record = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text("b") + b"\x87R"
        shape = b"(" + b"".join(map(number, value.shape)) + b"t"
        kind = b"cnumpy\ndtype\n" + text(value.dtype.str[1:]) + number(0) + number(1) + b"\x87R"
        kind += (
            b"(" + number(3) + text(value.dtype.str[0]) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + number(0) + b"tb"
        )
        return record + b"(" + number(1) + shape + kind + b"\x89" + text(value.tobytes()) + b"tb"

    def entries(pairs):
        return b"}(" + b"".join(text(name) + value for name, value in pairs) + b"u"

    inside = [("blobs", entries([(name, array(value)) for name, value in blobs.items()]))]
    inside += [("cfg", text(settings))] if settings is not None else []
    return b"\x80\x02" + entries(inside) + b"."
