import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest

from snapview.core.operations import plain_name, split_description
from snapview.core.vm import SnapshotKind
from snapview.demo.recipes import RECIPES, GoBack, Take, VmRecipe, domain_xml


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_history_can_have_happened(recipe: VmRecipe) -> None:
    ages: dict[str, timedelta] = {}
    at: str | None = None
    for deed in recipe.deeds:
        if isinstance(deed, GoBack):
            assert deed.title in ages
            at = deed.title
            continue
        assert deed.title not in ages
        assert deed.age < (ages[at] if at else timedelta(days=366))
        ages[deed.title] = deed.age
        at = deed.title
    takes = [deed for deed in recipe.deeds if isinstance(deed, Take)]
    assert len({deed.kind for deed in takes}) <= 1, "kinds must not be mixed in one VM"
    assert len({plain_name(deed.title) for deed in takes}) == len(takes)


def test_the_four_vms_are_those_that_were_promised() -> None:
    found = {recipe.name: recipe for recipe in RECIPES}
    takes = {name: [d for d in found[name].deeds if isinstance(d, Take)] for name in found}
    assert {name: len(taken) for name, taken in takes.items()} == {
        "demo-web": 8,
        "demo-db": 6,
        "demo-build": 12,
        "demo-fresh": 0,
    }
    assert {name for name in found if found[name].is_running} == {"demo-web", "demo-db"}
    assert all(d.kind is SnapshotKind.INTERNAL and d.memory for d in takes["demo-web"])
    assert sum(isinstance(d, GoBack) for d in found["demo-web"].deeds) == 2
    assert {d.memory for d in takes["demo-db"]} == {True, False}
    assert all(d.kind is SnapshotKind.EXTERNAL for d in takes["demo-db"] + takes["demo-build"])


def test_titles_survive_the_way_through_libvirt() -> None:
    for recipe in RECIPES:
        for deed in recipe.deeds:
            if isinstance(deed, Take) and plain_name(deed.title) != deed.title:
                text = f"{deed.title}\n{deed.description}"
                assert split_description(plain_name(deed.title), text)[0] == deed.title


def test_the_definition_takes_any_text() -> None:
    recipe = VmRecipe("a<b", "T & U", "]]>", is_running=False)
    root = ET.fromstring(domain_xml(recipe, disk=Path("/x'\"&.qcow2"), serial=Path("/<s>")))
    assert root.get("type") == "qemu"
    assert (root.findtext("name"), root.findtext("title")) == ("a<b", "T & U")
    disk, serial = root.find("devices/disk/source"), root.find("devices/serial/source")
    assert disk is not None
    assert serial is not None
    assert disk.get("file") == "/x'\"&.qcow2"
    assert serial.get("path") == "/<s>"
