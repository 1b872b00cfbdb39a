import json
from pathlib import Path

import pytest

from snapview.settings import Settings, default_path
from tests.conftest import AllowLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.json"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_without_a_file_everything_has_its_default(path: Path) -> None:
    settings = Settings.load(path)
    assert settings.connections == ()
    assert settings.delete_grace_seconds == 10
    assert settings.safety_snapshot is True
    assert settings.newest_first is False


def test_what_was_saved_is_loaded(path: Path) -> None:
    settings = Settings.load(path)
    settings.connections = ("qemu:///system", "qemu+ssh://größe/system")
    settings.splitter_sizes = (220, 700, 320)
    settings.newest_first = True
    settings.save()
    again = Settings.load(path)
    assert again.connections == ("qemu:///system", "qemu+ssh://größe/system")
    assert again.splitter_sizes == (220, 700, 320)
    assert again.newest_first is True


def test_unknown_keys_survive(path: Path) -> None:
    write(path, '{"from_the_future": {"a": [1, 2]}, "newest_first": true}')
    settings = Settings.load(path)
    settings.newest_first = False
    settings.save()
    assert json.loads(path.read_text()) == {
        "from_the_future": {"a": [1, 2]},
        "newest_first": False,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("connections", "qemu:///system"),
        ("connections", [1]),
        ("newest_first", 1),
        ("delete_grace_seconds", True),
        ("delete_grace_seconds", -1),
        ("delete_grace_seconds", 1e9),
        ("window_geometry", None),
        ("splitter_sizes", [10, "x"]),
    ],
)
def test_a_bad_value_is_logged_and_defaulted(
    path: Path, key: str, value: object, allow_log: AllowLog
) -> None:
    allow_log("is ignored")
    write(path, json.dumps({key: value, "safety_snapshot": False}))
    settings = Settings.load(path)
    assert getattr(settings, key) == getattr(Settings, key).default
    assert settings.safety_snapshot is False, "the good ones still count"


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "\ufeff{}", "[" * 100_000])
def test_a_damaged_file_is_put_aside(path: Path, text: str, allow_log: AllowLog) -> None:
    allow_log("damaged")
    write(path, text)
    settings = Settings.load(path)
    assert settings.delete_grace_seconds == 10
    assert path.with_suffix(".damaged.json").read_text(encoding="utf-8") == text
    assert not path.exists()


def test_bytes_that_are_no_text_do_no_harm(path: Path, allow_log: AllowLog) -> None:
    allow_log("damaged")
    write(path, "")
    path.write_bytes(b"\xff\xfe\x00{")
    assert Settings.load(path).newest_first is False


def test_a_folder_in_its_place_does_no_harm(path: Path, allow_log: AllowLog) -> None:
    allow_log("cannot be read")
    path.mkdir(parents=True)
    assert Settings.load(path).newest_first is False


def test_setting_a_wrong_value_is_refused(path: Path) -> None:
    settings = Settings.load(path)
    with pytest.raises(ValueError, match="whole number"):
        settings.delete_grace_seconds = 4711
    assert settings.delete_grace_seconds == 10


def test_a_failed_save_keeps_the_old_file_and_leaves_no_litter(path: Path) -> None:
    settings = Settings.load(path)
    settings.save()
    path.unlink()
    path.mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError, match="directory"):
        settings.save()
    assert [each.name for each in path.parent.iterdir()] == ["settings.json"]


def test_every_setting_explains_itself() -> None:
    assert len(Settings.all()) >= 7
    assert all(setting.description for setting in Settings.all())


def test_they_lie_where_the_platform_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "snapview" / "settings.json"
