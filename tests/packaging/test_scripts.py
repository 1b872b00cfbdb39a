"""The set-up scripts and desktop files: no network, no installation, no real libvirt."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
APP_ID = "io.github.snapview.Snapview"
SCRIPTS = [PACKAGING / name for name in ("system.sh", "run.sh", "test.sh")] + [ROOT / ".ci/run"]

DISTRIBUTIONS = {
    "debian": "ID=debian\nVERSION_ID=13\n",
    "ubuntu": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n',
    "mint": 'ID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "fedora": "ID=fedora\nVERSION_ID=42\n",
    "nobara": 'ID=nobara\nID_LIKE="rhel fedora"\n',
}

# Says that every package it is asked for is installed, but for those in $ABSENT.
DPKG_QUERY = """#!/bin/bash
shift 3
for name in "$@"; do
    case " $ABSENT " in *" $name "*) ;; *) printf 'ii  %s\\n' "$name" ;; esac
done
"""
RPM = """#!/bin/bash
shift 2
for name in "$@"; do
    case " $ABSENT " in *" $name "*) echo "no package provides $name" ;; *) echo "$name-1-1" ;; esac
done
"""
# Writes down how it was called, and answers as snapview would.
SNAPVIEW = """#!/bin/bash
printf '<%s>' "$@" >>"$CALLS"; echo >>"$CALLS"
case "$*" in
    --version) echo "snapview 0.0" ;;
    "list --json") echo '{"schema": 1, "vms": [{"name": "web"}, {"name": "my db"}]}' ;;
esac
"""
VIRSH = '#!/bin/bash\nprintf "%s\\n" "$MACHINES"\n'
FORBIDDEN = '#!/bin/bash\necho "$0 $*" >>"$FORBIDDEN_CALLS"\nexit 97\n'


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the scripts on a machine where everything is played by stand-ins."""

    root: Path
    env: Mapping[str, str]

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", *command],
            cwd=self.root.parent,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def shell(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run("-c", f'source "{self.root}/packaging/system.sh"; {code}', **env)

    def script(self, name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.root / "packaging" / name), *args, **env)

    def calls(self) -> list[str]:
        path = Path(self.env["CALLS"])
        return path.read_text().splitlines() if path.exists() else []

    def forbidden_calls(self) -> str:
        path = Path(self.env["FORBIDDEN_CALLS"])
        return path.read_text() if path.exists() else ""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in a folder with a space in its name, set up completely."""
    root = tmp_path / "my checkout"
    shutil.copytree(PACKAGING, root / "packaging")
    shutil.copy(ROOT / "pyproject.toml", root)
    tools = tmp_path / "tools"
    tools.mkdir()
    write_script(tools / "dpkg-query", DPKG_QUERY)
    write_script(tools / "rpm", RPM)
    write_script(tools / "virsh", VIRSH)
    for name in ("apt-get", "dnf", "sudo", "pip", "curl", "wget", "systemctl", "service"):
        write_script(tools / name, FORBIDDEN)
    bin_dir = root / ".venv/bin"
    bin_dir.mkdir(parents=True)
    write_script(bin_dir / "python", f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
    write_script(bin_dir / "snapview", SNAPVIEW)
    (tmp_path / "os-release").write_text(DISTRIBUTIONS["debian"])
    made = Checkout(
        root,
        {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "SNAPVIEW_OS_RELEASE": str(tmp_path / "os-release"),
            "ABSENT": "",
            "MACHINES": "",
            "CALLS": str(tmp_path / "calls"),
            "FORBIDDEN_CALLS": str(tmp_path / "forbidden"),
        },
    )
    stamped = made.shell('fingerprint | tee "$VENV/.snapview-run" >"$VENV/.snapview-test"')
    assert stamped.returncode == 0, stamped.stderr
    return made


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict_and_parse(script: Path) -> None:
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "\nset -euo pipefail\n" in script.read_text()


@pytest.mark.parametrize("release", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_package_lists_are_plain_names(checkout: Checkout, release: str) -> None:
    Path(checkout.env["SNAPVIEW_OS_RELEASE"]).write_text(release)
    run = checkout.script("system.sh", "needed", "run").stdout.split()
    test = checkout.script("system.sh", "needed", "test").stdout.split()
    assert len(run) > 20
    assert set(run) < set(test)
    assert len(set(test)) == len(test)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]+", name) for name in test)


def test_unknown_distribution_has_no_package_list(checkout: Checkout) -> None:
    Path(checkout.env["SNAPVIEW_OS_RELEASE"]).write_text("ID=plan9\n")
    assert checkout.script("system.sh", "needed", "run").stdout == ""


@pytest.mark.parametrize(
    ("release", "absent"),
    [("debian", ["qemu-utils", "libvirt-dev"]), ("fedora", ["qemu-img", "libvirt-devel"])],
)
def test_only_lacking_packages_are_named(
    checkout: Checkout, release: str, absent: list[str]
) -> None:
    Path(checkout.env["SNAPVIEW_OS_RELEASE"]).write_text(DISTRIBUTIONS[release])
    lacking = checkout.script("system.sh", "lacking", "run", ABSENT=" ".join(absent))
    assert lacking.stdout.split() == absent
    everything = checkout.script("system.sh", "needed", "run").stdout.split()
    none_there = checkout.script("system.sh", "lacking", "run", ABSENT=" ".join(everything))
    assert none_there.stdout.split() == everything


def test_complete_machine_is_left_alone(checkout: Checkout) -> None:
    ran = checkout.script("run.sh", "--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "snapview 0.0\n", "")
    assert checkout.forbidden_calls() == ""


def test_arguments_go_through_unchanged(checkout: Checkout) -> None:
    ran = checkout.script("run.sh", "tree", "my db", "", "--json", "*")
    assert ran.returncode == 0, ran.stderr
    assert checkout.calls() == ["<tree><my db><><--json><*>"]


def test_stamp_notices_changes(checkout: Checkout) -> None:
    def stamped() -> bool:
        return checkout.shell("stamped run").returncode == 0

    assert stamped()
    unfinished = checkout.root / ".venv/.snapview-unfinished"
    unfinished.touch()
    assert not stamped()
    assert checkout.shell("venv_usable").returncode != 0
    unfinished.unlink()
    assert stamped()
    with (checkout.root / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    assert not stamped()


def test_moved_checkout_is_noticed(checkout: Checkout) -> None:
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    there = Checkout(moved, checkout.env)
    assert there.shell("stamped run").returncode != 0
    assert there.shell("venv_usable").returncode != 0


def test_no_machine_no_display_makes_the_lab_as_text(checkout: Checkout) -> None:
    ran = checkout.script("run.sh")
    assert ran.returncode == 0, ran.stderr
    assert "no display" in ran.stderr
    assert checkout.calls() == ["<demo><--no-gui>"]


def test_no_machine_with_display_opens_the_lab(checkout: Checkout) -> None:
    ran = checkout.script("run.sh", DISPLAY=":7")
    assert ran.returncode == 0, ran.stderr
    assert checkout.calls() == ["<demo><--no-gui>", "<--demo>"]


def test_machines_with_display_open_the_window(checkout: Checkout) -> None:
    ran = checkout.script("run.sh", WAYLAND_DISPLAY="wayland-0", MACHINES="web")
    assert ran.returncode == 0, ran.stderr
    assert checkout.calls() == ["<>"]


def test_session_machines_without_display_are_printed(checkout: Checkout) -> None:
    folder = Path(checkout.env["HOME"], ".config/libvirt/qemu")
    folder.mkdir(parents=True)
    (folder / "web.xml").touch()
    ran = checkout.script("run.sh")
    assert ran.returncode == 0, ran.stderr
    assert checkout.calls() == ["<list>", "<list><--json>", "<tree><web>", "<tree><my db>"]
    assert checkout.forbidden_calls() == ""


@pytest.mark.parametrize(
    ("mypy", "tests", "expected"), [(0, 0, 0), (1, 0, 1), (0, 5, 5), (1, 2, 2)]
)
def test_test_run_reports_every_check(
    checkout: Checkout, mypy: int, tests: int, expected: int
) -> None:
    for name, status in {"ruff": 0, "lint-imports": 0, "mypy": mypy, "pytest": tests}.items():
        text = f'#!/bin/bash\necho "{name} was run with $*"\nexit {status}\n'
        write_script(checkout.root / ".venv/bin" / name, text)
    ran = checkout.script("test.sh", "-k", "some thing")
    assert ran.returncode == expected
    assert ran.stdout.endswith("\npytest was run with -k some thing\n")
    for called in ("ruff was run with check", "ruff was run with format", "lint-imports was run"):
        assert called in ran.stdout
    assert ("1 of 4 checks failed" in ran.stdout) == bool(mypy)


def test_desktop_entry() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PACKAGING / f"{APP_ID}.desktop")
    entry = parser["Desktop Entry"]
    assert entry["Type"] == "Application"
    assert entry["Icon"] == APP_ID
    assert {"Name", "Comment", "Categories"} <= set(entry)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for section in parser.sections():
        assert parser[section]["Exec"].split()[0] in project["gui-scripts"]


def test_metainfo_and_icon_go_with_the_desktop_entry() -> None:
    component = ElementTree.parse(PACKAGING / f"{APP_ID}.metainfo.xml").getroot()
    assert component.get("type") == "desktop-application"
    assert component.findtext("id") == APP_ID
    assert component.findtext("launchable") == f"{APP_ID}.desktop"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert component.findtext("project_license") == project["license"]
    assert {element.text for element in component.iterfind("provides/binary")} == (
        set(project["scripts"]) | set(project["gui-scripts"])
    )
    icon = ElementTree.parse(ROOT / f"resources/icons/{APP_ID}.svg").getroot()
    assert icon.tag == "{http://www.w3.org/2000/svg}svg"
