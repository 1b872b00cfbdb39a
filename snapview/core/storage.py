"""What libvirt's storage driver says of the image files around a VM: immutable values.

Headers are the truth about chains; definitions and snapshot records only say what they should be.
Headers come from files that may be hostile, so a backing name that is no absolute path is kept as
it stands and never followed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file as its header describes it. Sizes in bytes; None is unknown."""

    path: str
    format: str | None = None
    backing: str | None = None  # as libvirt resolved it; None: a base image
    backing_format: str | None = None
    capacity_bytes: int | None = None  # of the disk the guest sees
    allocation_bytes: int | None = None  # on the host's file system
    is_open_to_all: bool = False  # every account on the host may read it, as far as is known

    @property
    def has_plain_backing(self) -> bool:
        """Whether the backing file is none, or a file that can be followed."""
        return self.backing is None or self.backing.startswith("/")


@dataclass(frozen=True, slots=True)
class Storage:
    """The folders in which a VM's images lie, and who else uses what is in them.

    ``users`` names, for an image, the *other* VMs that refer to it in a definition or by the
    backing chain of an image of theirs. ``unreadable`` are folders of which libvirt tells
    nothing: about their files nothing is proven.
    """

    images: Mapping[str, ImageFile] = field(default_factory=lambda: MappingProxyType({}))
    free_bytes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    users: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: frozenset[str] = frozenset()
    copy_bytes_per_second: float | None = None  # measured in earlier merges on this host

    def chain(self, path: str) -> tuple[ImageFile, ...]:
        """Follow the headers from an image down; stops at what is missing, odd, or a loop."""
        found: list[ImageFile] = []
        seen: set[str] = set()
        at: str | None = path
        while at is not None and at in self.images and at not in seen:
            seen.add(at)
            image = self.images[at]
            found.append(image)
            at = image.backing if image.has_plain_backing else None
        return tuple(found)

    def fault(self, path: str) -> str:
        """Say what is wrong with the chain below an image; empty: it is whole, or unknown."""
        chain = self.chain(path)
        if not chain:
            return "" if self.is_unread(path) else f"the image {path} is missing"
        last = chain[-1]
        if not last.has_plain_backing:
            return f"{last.path} names a backing file that is no plain path: {last.backing}"
        if last.backing is None:
            return ""
        if last.backing in {image.path for image in chain}:
            return f"the backing files of {path} form a loop"
        if self.is_unread(last.backing):
            return ""
        return f"{last.path} needs {last.backing}, which is missing"

    def is_unread(self, path: str) -> bool:
        """Whether nothing is known of the folder that holds ``path``."""
        folder = str(PurePosixPath(path).parent)
        return folder in self.unreadable or folder not in self.free_bytes

    def overlays(self, path: str) -> frozenset[str]:
        """Return the images whose headers name ``path`` as their backing file."""
        return frozenset(image.path for image in self.images.values() if image.backing == path)

    def doubtful_overlays(self, path: str) -> frozenset[str]:
        """Return the images that may lie on ``path``: their headers name it in a way of their own.

        Such a header is not followed, but what it may need must not be taken away from it.
        """
        name = PurePosixPath(path).name
        odd = (image for image in self.images.values() if not image.has_plain_backing)
        return frozenset(i.path for i in odd if i.path != path and _may_name(i.backing or "", name))

    def free_beside(self, path: str) -> int | None:
        """Return the free bytes of the file system that holds ``path``; None: unknown."""
        return self.free_bytes.get(str(PurePosixPath(path).parent))


def _may_name(backing: str, file_name: str) -> bool:
    """Whether a backing name that is no plain path may lead to a file of that name."""
    kind, _, rest = backing.partition(":")
    if kind != "json":
        return file_name in unquote(backing)
    try:
        waiting = [json.loads(rest)]
    except (ValueError, RecursionError):
        return True
    for value in waiting:  # grows while it is walked
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and file_name in unquote(value):
            return True
    return False
