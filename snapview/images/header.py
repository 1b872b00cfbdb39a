"""The header of a qcow2 image and its extensions.

Nothing in a file is believed: every offset, length and count is checked before it is used, against
the file's size and against the limits that QEMU has itself.
"""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from snapview.images.source import BadImage, Source

_MAGIC = b"QFI\xfb"
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_BITMAPS = struct.Struct(">IIQQ")
_SPAN = struct.Struct(">QQ")

_BACKING_FORMAT, _FEATURE_NAMES, _BITMAPS_TYPE = 0xE2792ACA, 0x6803F857, 0x23852875
_ENCRYPTION, _DATA_FILE = 0x0537BE77, 0x44415441

_DIRTY, _CORRUPT, _HAS_DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_LAZY_REFCOUNTS = 1
_BITMAPS_VALID, _DATA_FILE_IS_RAW = 1, 2

# QEMU's own limits.
_MOST_L1_BYTES = 32 << 20
_MOST_REFCOUNT_TABLE_BYTES = 8 << 20
_MOST_SNAPSHOTS = 65536
MOST_TABLE_BYTES = 64 << 20  # of the snapshot table, and of the bitmap directory
_MOST_BITMAPS = 65535
_MOST_BACKING_NAME = 1023
_MOST_OFFSET = 1 << 56


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the image file, in bytes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a qcow2 image and its extensions say. Sizes and offsets in bytes."""

    version: int
    size_bytes: int  # of the disk the guest sees
    cluster_bits: int
    l1: Span  # the active one
    refcount_table: Span
    snapshot_count: int
    snapshots_offset: int
    refcount_bits: int = 16
    backing_file: str | None = None  # as it is written there
    backing_format: str | None = None
    has_data_file: bool = False
    data_file: str | None = None  # its name, if the image tells it
    is_data_file_raw: bool = False
    encryption: str | None = None  # aes, luks
    encryption_header: Span | None = None
    compression: str = "zlib"  # or zstd
    is_dirty: bool = False  # its refcounts may be wrong
    is_corrupt: bool = False
    has_extended_l2: bool = False
    has_lazy_refcounts: bool = False
    bitmap_count: int = 0  # those that are consistent
    bitmap_directory: Span | None = None
    feature_names: Mapping[tuple[int, int], str] = field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def cluster_bytes(self) -> int:
        """The size of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entry_bytes(self) -> int:
        """The size of an entry of an L2 table."""
        return 16 if self.has_extended_l2 else 8

    @property
    def l2_entries(self) -> int:
        """How many clusters an L2 table describes."""
        return self.cluster_bytes // self.l2_entry_bytes


def read_header(source: Source) -> Header:
    """Read and check the header with its extensions.

    Raises:
        BadImage: it is no qcow2 image, or one that QEMU would not open either.
        OSError: it cannot be read.
    """
    raw = source.read(0, 112)
    if len(raw) < _V2.size or raw[:4] != _MAGIC:
        raise BadImage("This is no qcow2 image.")
    _, version, backing_at, backing_size, bits, size, crypt, *rest = _V2.unpack_from(raw)
    l1_entries, l1_at, refcounts_at, refcount_clusters, snapshots, snapshots_at = rest
    if version not in (2, 3):
        raise BadImage(f"The image is of qcow2's version {version}, which is not known.")
    if not 9 <= bits <= 21:
        raise BadImage(f"The image claims clusters of 2^{bits} bytes.")
    incompatible, lazy, autoclear, order, header_bytes = 0, 0, 0, 4, _V2.size
    if version == 3:
        if len(raw) < _V2.size + _V3.size:
            raise BadImage("The image ends within its header.")
        incompatible, lazy, autoclear, order, header_bytes = _V3.unpack_from(raw, _V2.size)
    if order > 6:
        raise BadImage(f"The image claims reference counts of 2^{order} bits.")
    if not (version == 2 or 104 <= header_bytes <= 1 << bits):
        raise BadImage(f"The image claims a header of {header_bytes} bytes.")
    _check_counts(crypt, refcount_clusters << bits, snapshots)
    known = _Known(bits, header_bytes, incompatible, autoclear, backing_at, backing_size)
    compression = _compression(raw, header_bytes, incompatible)
    known.read(source)
    header = Header(
        version=version,
        size_bytes=size,
        cluster_bits=bits,
        l1=Span(l1_at, l1_entries * 8),
        refcount_table=Span(refcounts_at, refcount_clusters << bits),
        snapshot_count=snapshots,
        snapshots_offset=snapshots_at,
        refcount_bits=1 << order,
        has_data_file=bool(incompatible & _HAS_DATA_FILE),
        is_data_file_raw=bool(autoclear & _DATA_FILE_IS_RAW),
        encryption=(None, "aes", "luks")[crypt],
        compression=compression,
        is_dirty=bool(incompatible & _DIRTY),
        is_corrupt=bool(incompatible & _CORRUPT),
        has_extended_l2=bool(incompatible & _EXTENDED_L2),
        has_lazy_refcounts=bool(lazy & _LAZY_REFCOUNTS),
        backing_file=known.backing_file,
        backing_format=known.text(_BACKING_FORMAT),
        data_file=known.text(_DATA_FILE),
        encryption_header=known.encryption_header(),
        bitmap_count=known.bitmap_count,
        bitmap_directory=known.bitmap_directory,
        feature_names=known.feature_names(),
    )
    _check_tables(source, header)
    return header


def _check_counts(crypt: int, refcount_table_bytes: int, snapshots: int) -> None:
    if crypt > 2:
        raise BadImage(f"The image is encrypted in a way that is not known: {crypt}.")
    if not 0 < refcount_table_bytes <= _MOST_REFCOUNT_TABLE_BYTES:
        raise BadImage(f"The image claims a refcount table of {refcount_table_bytes} bytes.")
    if snapshots > _MOST_SNAPSHOTS:
        raise BadImage(f"The image claims {snapshots} snapshots.")


def _compression(raw: bytes, header_bytes: int, incompatible: int) -> str:
    unknown = incompatible & ~(_DIRTY | _CORRUPT | _HAS_DATA_FILE | _COMPRESSION | _EXTENDED_L2)
    if unknown:
        raise BadImage(f"The image needs features that are not known: {unknown:#x}.")
    number = raw[104] if header_bytes > 104 and len(raw) > 104 else 0
    if bool(incompatible & _COMPRESSION) != bool(number) or number > 1:
        raise BadImage(f"The image is compressed in a way that is not known: {number}.")
    return "zstd" if number else "zlib"


@dataclass
class _Known:
    """The first cluster's rest: extensions, and the backing file's name."""

    bits: int
    header_bytes: int
    incompatible: int
    autoclear: int
    backing_at: int
    backing_size: int
    extensions: dict[int, bytes] = field(default_factory=dict)
    backing_file: str | None = None
    bitmap_count: int = 0
    bitmap_directory: Span | None = None

    def read(self, source: Source) -> None:
        cluster = source.read(0, 1 << self.bits)
        end = 1 << self.bits
        if self.backing_at:
            end = self.backing_at
            if self.backing_size > _MOST_BACKING_NAME:
                raise BadImage(f"The backing file's name has {self.backing_size} bytes.")
            if not self.header_bytes <= end <= len(cluster) - self.backing_size:
                raise BadImage("The backing file's name is not in the first cluster.")
            name = cluster[end : end + self.backing_size]
            self.backing_file = os.fsdecode(name) or None
        self._read_extensions(cluster, end)
        self._read_bitmaps()
        extended = self.incompatible & _EXTENDED_L2
        if extended and self.bits < 14:
            raise BadImage("The image has subclusters in clusters that are too small for them.")

    def _read_extensions(self, cluster: bytes, end: int) -> None:
        at = self.header_bytes
        while at + 8 <= min(end, len(cluster)):
            kind, length = _EXTENSION.unpack_from(cluster, at)
            at += 8
            if not kind:
                return
            if length > min(end, len(cluster)) - at:
                raise BadImage("A header extension is longer than the first cluster.")
            self.extensions.setdefault(kind, cluster[at : at + length])
            at += (length + 7) & ~7

    def _read_bitmaps(self) -> None:
        data = self.extensions.get(_BITMAPS_TYPE)
        if data is None or not self.autoclear & _BITMAPS_VALID:
            return
        if len(data) != _BITMAPS.size:
            raise BadImage("The extension for bitmaps has a wrong length.")
        count, _, length, offset = _BITMAPS.unpack(data)
        if not 1 <= count <= _MOST_BITMAPS or length > MOST_TABLE_BYTES:
            raise BadImage(f"The image claims {count} bitmaps in {length} bytes.")
        self.bitmap_count, self.bitmap_directory = count, Span(offset, length)

    def text(self, kind: int) -> str | None:
        data = self.extensions.get(kind)
        return None if data is None else os.fsdecode(data)

    def encryption_header(self) -> Span | None:
        data = self.extensions.get(_ENCRYPTION)
        if data is None:
            return None
        if len(data) != _SPAN.size:
            raise BadImage("The extension for encryption has a wrong length.")
        return Span(*_SPAN.unpack(data))

    def feature_names(self) -> Mapping[tuple[int, int], str]:
        data = self.extensions.get(_FEATURE_NAMES, b"")
        entries = (data[at : at + 48] for at in range(0, len(data) - 47, 48))
        return MappingProxyType(
            {(e[0], e[1]): e[2:].rstrip(b"\0").decode(errors="replace") for e in entries}
        )


def _check_tables(source: Source, header: Header) -> None:
    if header.size_bytes >= 1 << 63:
        raise BadImage(f"The image claims a disk of {header.size_bytes} bytes.")
    column_bytes = header.l2_entries << header.cluster_bits
    if header.l1.length < -(-header.size_bytes // column_bytes) * 8:
        raise BadImage("The L1 table is too small for the disk.")
    check_l1(source, header, header.l1)
    check_span(source, header, header.refcount_table, "The refcount table")
    if header.bitmap_directory is not None:
        check_span(source, header, header.bitmap_directory, "The bitmap directory")
    if header.encryption_header is not None:
        check_span(source, header, header.encryption_header, "The encryption header")
    if header.has_data_file and header.snapshot_count:
        raise BadImage("The image has a data file and snapshots, which excludes each other.")


def check_l1(source: Source, header: Header, span: Span) -> None:
    """Check where an L1 table lies.

    Raises:
        BadImage: it is too large, or not in the file.
    """
    if span.length > _MOST_L1_BYTES:
        raise BadImage(f"The image claims an L1 table of {span.length // 8} entries.")
    check_span(source, header, span, "An L1 table")


def check_span(source: Source, header: Header, span: Span, what: str) -> None:
    """Check that a table begins at a cluster, and lies in the file.

    Raises:
        BadImage: it does not.
    """
    if not span.length:
        return
    if span.offset & (header.cluster_bytes - 1) or not span.offset:
        raise BadImage(f"{what} does not begin at a cluster.")
    if span.offset >= _MOST_OFFSET or span.offset + span.length > source.size_bytes:
        raise BadImage(f"{what} lies past the end of the file.")
