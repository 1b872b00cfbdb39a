"""The user's settings: typed attributes over one JSON file; hides its format and its accidents.

A file that somebody damaged never keeps snapview from starting: bad values are logged and
defaulted, and keys this version does not know are kept for the one that does.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Self, TypeVar, overload

from platformdirs import user_config_path

logger = logging.getLogger(__name__)

T = TypeVar("T")


class BadValue(ValueError):
    """A setting cannot have that value."""


class Setting(Generic[T]):
    """One setting: its type, its default, and what it means.

    Args:
        default: the value when the file has none.
        read: makes a value from what JSON held; raises BadValue when that is none.
        description: one line for whoever edits the file or the settings page.
    """

    def __init__(self, default: T, read: Callable[[object], T], description: str) -> None:
        self.default = default
        self.read = read
        self.description = description
        self.key = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = name

    @overload
    def __get__(self, settings: None, owner: type) -> Self: ...

    @overload
    def __get__(self, settings: "Settings", owner: type) -> T: ...

    def __get__(self, settings: "Settings | None", owner: type) -> Self | T:
        if settings is None:
            return self
        return self.value_in(settings.raw)

    def __set__(self, settings: "Settings", value: T) -> None:
        settings.raw[self.key] = self.read(value)

    def value_in(self, raw: dict[str, object]) -> T:
        """Return the value among what the file held, else the default."""
        return self.read(raw[self.key]) if self.key in raw else self.default


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadValue("true or false is wanted")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue("a text is wanted")
    return value


def _number(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadValue(f"a whole number from {least} to {most} is wanted")
        return value

    return read


def _several(read_one: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise BadValue("a list is wanted")
        return tuple(read_one(each) for each in value)

    return read


class Settings:
    """The settings as attributes. ``load`` and ``save`` touch the file: not on the GUI thread."""

    connections = Setting[tuple[str, ...]](
        (), _several(_text), "libvirt URIs that are connected at the start"
    )
    window_geometry = Setting("", _text, "Place and size of the window, base64")
    splitter_sizes = Setting[tuple[int, ...]](
        (), _several(_number(0, 100_000)), "Widths of the panes in pixels"
    )
    tree_columns = Setting("", _text, "Widths of the tree's columns, as the tree writes them")
    newest_first = Setting(default=False, read=_flag, description="Newest snapshot on top")
    delete_grace_seconds = Setting(
        10, _number(0, 60), "How long a delete waits, so that it can be undone"
    )
    safety_snapshot = Setting(
        default=True, read=_flag, description="Keep the state of now before a revert"
    )
    safety_keep_days = Setting(
        14, _number(0, 3650), "How long a safety snapshot is kept, in days; 0: for ever"
    )
    merge_mib_per_second = Setting(
        0, _number(0, 100_000), "How fast “Merge chain…” may copy at first, in MiB/s; 0: no limit"
    )

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else default_path()
        self.raw: dict[str, object] = {}  # valid values, and keys of other versions

    @classmethod
    def all(cls) -> tuple[Setting[object], ...]:
        """Return the descriptors, in the order of their declaration."""
        return tuple(each for each in vars(cls).values() if isinstance(each, Setting))

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the settings. Never fails: what cannot be read is logged and defaulted."""
        settings = cls(path)
        raw = _read_file(settings.path)
        for setting in cls.all():
            try:
                setting.value_in(raw)
            except BadValue as error:
                logger.warning("Setting %s is ignored: %s.", setting.key, error)
                del raw[setting.key]
        settings.raw = raw
        return settings

    def save(self) -> None:
        """Write the file: all of it or, when that fails, nothing. Raises OSError. Any thread."""
        text = json.dumps(dict(self.raw), indent=2, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".settings-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def default_path() -> Path:
    """Return where this user's settings lie."""
    return user_config_path("snapview") / "settings.json"


def _read_file(path: Path) -> dict[str, object]:
    """Return the file's object, empty when there is none; a damaged file is put aside."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        logger.warning("The settings in %s cannot be read: %s", path, error)
        return {}
    except (ValueError, RecursionError) as error:
        logger.warning("The settings in %s are damaged and were put aside: %s", path, error)
        _put_aside(path)
        return {}
    if isinstance(content, dict):
        return content
    logger.warning("The settings in %s are damaged and were put aside: no object.", path)
    _put_aside(path)
    return {}


def _put_aside(path: Path) -> None:
    try:
        path.replace(path.with_suffix(".damaged.json"))
    except OSError as error:
        logger.warning("The damaged settings could not be put aside: %s", error)
