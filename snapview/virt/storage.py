"""What libvirt's storage driver does: list folders, make and remove image files, read from them.

Works without any access of our own to the files, as a desktop user needs it whose images belong
to the system. Does not import libvirt: it is given handles.

Hides pools. libvirt knows files only through them, and it refuses a second pool on a folder, also
beside one that is not active. So there is a pool of our own for a moment, on a path with dots in it
that is the same folder but no other pool's path. Somebody's own pool is never touched: it may be
out of date, and a refresh that fails, because of one broken file, would end it.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntFlag
from html import escape
from typing import Any

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    NotFound,
    NotPermitted,
    SnapviewError,
    Unsupported,
)
from snapview.core.vm import DiskLayer
from snapview.virt.errormap import MissingFile, Translated
from snapview.virt.image_files import (
    Folder,
    Volume,
    build_volume,
    is_forbidden,
    parse_volume,
    split_path,
)
from snapview.virt.qcow2_header import BadHeader, read_tags
from snapview.virt.xml import BadXml

_log = logging.getLogger(__name__)

POOL_PREFIX = "snapview-files-"
LEFT_BEHIND_SECONDS = 3600  # a pool of ours this old is one of a snapview that was killed

_TRIES = 3
_MOST_DOTS = 16
_CHUNK_BYTES = 256 << 10


class PoolFlag(IntFlag):
    """virConnectListAllStoragePoolsFlags."""

    TRANSIENT = 8


class LibvirtStorage:
    """The image files of one host. Worker thread; every call blocks.

    Args:
        connection: returns libvirt's handle.
        translated: turns libvirt's errors into ours.
    """

    def __init__(self, connection: Callable[[], Any], translated: Translated) -> None:
        self._connection = connection
        self._translated = translated

    def read_folder(self, folder: str) -> Folder:
        """List the plain files of a folder.

        Raises:
            MissingFile: there is no such folder.
            SnapviewError: libvirt cannot or may not look into it.
        """
        with self._opened(folder) as pool, self._translated("look into the folder"):
            free_bytes = int(pool.info()[3])
            texts = []
            for handle in pool.listAllVolumes(0):
                with suppress(NotFound), self._translated():  # it may be gone meanwhile
                    texts.append(handle.XMLDesc(0))
        found = (_parsed(text, folder) for text in texts)
        return Folder(folder, dict(each for each in found if each is not None), free_bytes)

    def make_overlay(self, path: str, base: DiskLayer) -> None:
        """Make an empty qcow2 image on another one, with the owner of that where that is allowed.

        Raises:
            Conflict: there is such a file already.
            Unsupported: the base is no file, or its format is not recorded.
            NoSpace, HostError: it cannot be made.
        """
        folder, name = split_path(path)
        if base.type not in {"file", "block"} or not base.path.startswith("/"):
            raise Unsupported(f"“{base.path}” is no file, so nothing can be put on it.")
        if base.format is None:
            raise Unsupported(f"Nobody has recorded the format of “{base.path}”.")
        like = self._permissions(base.path)
        with self._opened(folder) as pool:
            if self._volume(pool, name) is not None:
                raise Conflict(
                    f"There is a file “{path}” already.", advice="Move it away, then try again."
                )
            try:
                self._make(pool, build_volume(name, base, like))
            except SnapviewError as error:
                if like is None or isinstance(error, ConnectionLost | Conflict):
                    raise
                _log.debug("not with the owner of the base: %s", error.detail)
                self._make(pool, build_volume(name, base, None))

    def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is no error.

        Raises:
            HostError: it is no plain file, or cannot be removed.
        """
        folder, name = split_path(path)
        with suppress(MissingFile), self._opened(folder) as pool:
            handle = self._volume(pool, name)
            if handle is None:
                return
            if self._look_at(handle, folder) is None:
                raise HostError(f"“{path}” is no plain file, so it is left alone.")
            with self._translated("remove the file"):
                handle.delete(0)

    def internal_tags(self, path: str) -> tuple[str, ...] | None:
        """Return the names of the states inside a qcow2 image; None: cannot be read.

        Raises:
            ConnectionLost: the daemon went away.
        """
        try:
            folder, name = split_path(path)
            with self._opened(folder) as pool:
                handle = self._volume(pool, name)
                if handle is None:
                    return None
                return read_tags(lambda offset, size: self._bytes(handle, offset, size))
        except ConnectionLost:
            raise
        except (SnapviewError, BadHeader) as error:
            _log.debug("no states of %s: %s", path, error)
            return None

    def clear_left_behind(self) -> None:
        """End the pools that a killed snapview left; they hold nothing."""
        with self._translated("look at the storage pools"):
            pools = self._connection().listAllStoragePools(int(PoolFlag.TRANSIENT))
            old = [pool for pool in pools if _is_left_behind(pool.name())]
        for pool in old:
            self._end(pool)

    @contextmanager
    def _opened(self, folder: str) -> Iterator[Any]:
        """Give a pool that has just looked into a folder."""
        if is_forbidden(folder):
            raise HostError(f"“{folder}” is no folder for images.")
        pool = self._make_pool(folder)
        try:
            yield pool
        finally:
            self._end(pool)

    def _make_pool(self, folder: str) -> Any:
        trials = _TRIES
        while True:
            trials -= 1
            same = folder.rstrip("/") + "/." * (1 + secrets.randbelow(_MOST_DOTS))
            name = f"{POOL_PREFIX}{int(time.time())}-{secrets.token_hex(4)}"
            xml = (
                f"<pool type='dir'><name>{name}</name>"
                f"<target><path>{escape(same)}</path></target></pool>"
            )
            try:
                with self._translated("look into the folder"):
                    return self._connection().storagePoolCreateXML(xml, 0)
            except (ConnectionLost, NotPermitted, Unsupported):
                raise
            except SnapviewError as error:
                # Of a file that libvirt cannot bear it reports some earlier error of its own.
                if isinstance(error, MissingFile) and same in error.detail:
                    raise
                if not trials:  # so it was not another snapview that has the same dots
                    raise HostError(
                        f"libvirt cannot look into the folder “{folder}”.",
                        advice="Look whether it may be read, and for an image that is cut off.",
                        detail=error.detail,
                    ) from error

    def _end(self, pool: Any) -> None:
        """End a pool of ours, which touches no file; one that stays harms nobody."""
        try:
            with self._translated():
                pool.destroy()
        except SnapviewError as error:
            _log.debug("a pool stays: %s", error.detail)

    def _volume(self, pool: Any, name: str) -> Any:
        """Return the handle of a file; None: it is not there."""
        try:
            with self._translated("look for the file"):
                return pool.storageVolLookupByName(name)
        except NotFound:
            return None

    def _make(self, pool: Any, xml: str) -> None:
        with self._translated("make the overlay"):
            pool.createXML(xml, 0)

    def _look_at(self, handle: Any, folder: str) -> Volume | None:
        """Return what libvirt says of a file; None: it is no plain one."""
        with self._translated("look at the file"):
            found = _parsed(handle.XMLDesc(0), folder)
        return found[1] if found is not None else None

    def _permissions(self, path: str) -> tuple[str, str, str] | None:
        """Return mode, owner and group of a file; None: unknown."""
        try:
            folder, name = split_path(path)
            with self._opened(folder) as pool:
                handle = self._volume(pool, name)
                found = None if handle is None else self._look_at(handle, folder)
        except ConnectionLost:
            raise
        except SnapviewError:
            return None
        return found.permissions if found is not None else None

    def _bytes(self, handle: Any, offset: int, size: int) -> bytes:
        """Read a part of a file; less than asked for at its end."""
        with self._translated("read the image"):
            stream = self._connection().newStream(0)
            found = bytearray()
            try:
                handle.download(stream, offset, size, 0)
                while len(found) < size and (part := stream.recv(_CHUNK_BYTES)):
                    found += part
                stream.finish()
            except BaseException:
                stream.abort()
                raise
        return bytes(found[:size])


def _parsed(text: str, folder: str) -> tuple[str, Volume] | None:
    """Return name and volume; None for what is no plain file, or cannot be read."""
    try:
        return parse_volume(text, folder)
    except BadXml as error:
        _log.debug("a volume in %s cannot be read: %s", folder, error)
        return None


def _is_left_behind(name: str) -> bool:
    born = name.removeprefix(POOL_PREFIX).partition("-")[0]
    is_ours = name.startswith(POOL_PREFIX) and born.isdecimal() and len(born) < 20
    return is_ours and time.time() - int(born) > LEFT_BEHIND_SECONDS
