"""The house rules that a program can check: who imports whom, names, and a test for each module."""

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "snapview"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"}
LONGEST_MODULE_LINES = 400

# Modules without a test file of their own, and why.
TESTED_ELSEWHERE = {
    "__init__.py": "packages hold docstrings and names made elsewhere",
    "core/errors.py": "classes without behaviour",
    "core/moves.py": "values without behaviour",
    "session/asking.py": "every test of the session asks through it",
    "session/views.py": "values without behaviour",
    "virt/vm_port.py": "a protocol; test_port.py tests what implements it",
}

# Parts that must start fast and run without a display, and what they must not load.
FREE_OF = {
    "core": ("PySide6", "libvirt", "numpy", "socket", "subprocess", "sqlite3"),
    "virt": ("PySide6", "pyqtgraph"),
    "demo": ("PySide6", "pyqtgraph"),
    "cli": ("PySide6", "pyqtgraph"),
    "ui": ("libvirt",),
    "session": ("libvirt", "PySide6.QtWidgets"),
    "images": ("PySide6", "libvirt", "pyqtgraph", "sqlite3"),
}


def dotted(module: Path) -> str:
    parts = ["snapview", *module.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_import_contracts_hold() -> None:
    # In a process of its own: it switches off all loggers, and with them our guard on the log.
    code = (
        "import sys\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "KEPT" in done.stdout


@pytest.mark.parametrize("part", FREE_OF)
def test_a_fresh_interpreter_loads_nothing_foreign(part: str) -> None:
    modules = [dotted(module) for module in MODULES if module.parts[0] == part]
    code = (
        "import importlib, sys\n"
        "*modules, unwanted = sys.argv[1:]\n"
        "for module in modules:\n"
        "    importlib.import_module(module)\n"
        "    found = [name for name in unwanted.split() if name in sys.modules]\n"
        "    assert not found, f'{module} loads {found}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules, " ".join(FREE_OF[part])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert modules
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_its_test_file(module: Path) -> None:
    if str(module) in TESTED_ELSEWHERE or module.name in TESTED_ELSEWHERE:
        return
    folder, name = module.parent, module.stem.strip("_")
    wanted = [
        Path("tests", folder, f"test_{name}.py"),
        Path("tests", folder, name),  # a folder of tests
    ]
    if len(module.parts) > 2:  # a package within a package may be tested as a whole
        wanted.append(Path("tests", folder.parent, f"test_{folder.name}.py"))
    assert any((ROOT / path).exists() for path in wanted), f"there is no {wanted[0]}"


def test_the_exceptions_are_needed() -> None:
    for name in TESTED_ELSEWHERE:
        assert (PACKAGE / name).exists(), f"{name} is gone"
        test = ROOT / "tests" / Path(name).parent / f"test_{Path(name).stem}.py"
        assert not test.exists(), f"{name} has a test file now"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_named_for_what_it_does(module: Path) -> None:
    for part in (*module.parts[:-1], module.stem):
        assert BANNED_NAMES.isdisjoint(part.lower().split("_")), f"{module}: what is it about?"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_not_too_long(module: Path) -> None:
    lines = (PACKAGE / module).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_MODULE_LINES, f"{module} has {lines} lines: look for a missing type"


def test_the_top_folder_stays_tidy() -> None:
    allowed = {"pyproject.toml", "snapview", "resources", "tests", "packaging", "README.md"}
    allowed |= {"LICENSE", "CHANGELOG.md"}
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    made = {line.rstrip("/") for line in lines}  # by tools; git does not take them
    top = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in top if not any(fnmatch(name, each) for each in made)} <= allowed
