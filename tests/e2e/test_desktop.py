"""A person with mouse and keyboard at the real window, on real VMs; virsh and the guest watch."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import VirshClient
from tests.e2e.desktop import Desktop, screen, window
from tests.lab import Lab

pytestmark = pytest.mark.window


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with screen() as number:
        yield number


def test_take_revert_and_delete_by_hand(lab9: Lab, display: str, tmp_path: Path) -> None:
    name = "demo-web"
    lab9.make_vm(name)
    lab9.make_vm("other", running=False)
    virsh = VirshClient(lab9, name)
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows()

        lab9.wait_for_count(name, 2)
        desktop.key("ctrl+t")
        desktop.wait_for_front("Take snapshot")
        desktop.key("ctrl+a")
        desktop.type("clean install")
        desktop.key("Return")
        desktop.wait_for_rows("clean install")
        assert virsh.parents() == {"clean-install": None}
        at_first = lab9.counter_from_serial(name).count

        lab9.wait_for_count(name, at_first + 3)
        take_by_mouse(desktop, "before upgrade")
        desktop.wait_for_rows("clean install", "before upgrade")
        assert virsh.parents() == {"clean-install": None, "before-upgrade": "clean-install"}

        later = lab9.wait_for_count(name, at_first + 6).count
        desktop.click("row clean install")
        desktop.key("ctrl+r")
        desktop.wait_for_front("Revert")
        desktop.click("button Keep and revert")
        safety = "before revert to ‘clean install’"
        desktop.wait_for_rows("clean install", "before upgrade", safety)
        desktop.wait("the revert", lambda: virsh.current() == "clean-install")
        desktop.wait_for_job("done")
        assert at_first - 1 <= lab9.counter_from_serial(name).count < later

        desktop.click(f"row {safety}")
        desktop.key("Delete")
        desktop.wait_for_front("Discard")
        desktop.key("Return")
        desktop.wait_for_job("nothing has been touched")
        assert len(virsh.parents()) == 3, "the grace period was not kept"
        desktop.wait_for_rows("clean install", "before upgrade")
        assert virsh.parents() == {"clean-install": None, "before-upgrade": "clean-install"}
        assert virsh.current() == "clean-install"


def take_by_mouse(desktop: Desktop, title: str) -> None:
    desktop.click("button Take snapshot")
    desktop.wait_for_front("Take snapshot")
    desktop.key("ctrl+a")
    desktop.type(title)
    desktop.click("button Take snapshot")


def test_undo_within_the_grace_period(lab9: Lab, display: str, tmp_path: Path) -> None:
    name = lab9.unique_name("undo")
    lab9.make_vm(name)
    lab9.virsh("snapshot-create-as", name, "one")
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows("one")
        desktop.click("row one")
        desktop.key("Delete")
        desktop.wait_for_front("Discard")
        desktop.key("Return")
        desktop.click("button Undo")
        desktop.wait("no job", lambda: "nothing has been touched" not in str(desktop.ask("jobs")))
        assert VirshClient(lab9, name).parents() == {"one": None}


def test_another_client_appears_within_five_seconds(
    lab9: Lab, display: str, tmp_path: Path
) -> None:
    name = lab9.unique_name("watched")
    lab9.make_vm(name)
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows()
        lab9.virsh("snapshot-create-as", name, "theirs")
        desktop.wait_for_rows("theirs")
        lab9.destroy_vm(name)
        desktop.wait("the VM to go", lambda: desktop.ask(f"row {name}") is None)


def make_chain(lab: Lab, name: str, *snapshots: str) -> None:
    """Make a VM with external snapshots in a line; the guest writes between them."""
    lab.make_vm(name)
    for snapshot in snapshots:
        lab.wait_for_count(name, lab.counter_from_serial(name).count + 2)
        file = lab.vm_folder(name) / f"vda.{snapshot}.qcow2"
        disk = f"vda,snapshot=external,file={file}"
        lab.virsh("snapshot-create-as", name, snapshot, "--disk-only", "--diskspec", disk)


def test_merge_a_chain_by_mouse(lab9: Lab, display: str, tmp_path: Path) -> None:
    name = lab9.unique_name("chain")
    make_chain(lab9, name, "one", "two", "three")
    base = lab9.vm_folder(name) / "vda.qcow2"
    boots = lab9.counter_from_serial(name).boots
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows("one", "two", "three")
        desktop.click("button Merge chain")
        desktop.wait_for_front("Merge the chain")
        desktop.wait_for_words("4 images")
        for snapshot in ("one", "two", "three"):
            desktop.wait_for_words(f"The point “{snapshot}”")
        at_least = lab9.counter_from_serial(name).count
        desktop.click("button Merge")
        desktop.wait_for_job("nothing has been touched")
        assert lab9.active_disk(name) != base, "the grace period was not kept"
        desktop.wait_for_rows()
        desktop.wait_for_job("copied")
        assert lab9.active_disk(name) == base
        assert sorted(path.name for path in base.parent.glob("vda*")) == ["vda.qcow2"]
        assert lab9.virsh("snapshot-list", name, "--name").split() == []
        after = lab9.wait_for_count(name, at_least + 1)
        assert after.boots == boots, "the guest never stood still, nor started anew"
        desktop.click(f"row {name}")
        desktop.key("ctrl+h")
        desktop.wait_for_front("What was done")
        desktop.wait("one row", lambda: len(_table(desktop)) == 1)
        (row,) = _table(desktop)
        assert row[1:3] == ["The consolidation of vda", "done"]
        assert row[3], "planned and copied bytes"


def _table(desktop: Desktop) -> list[list[str]]:
    found = desktop.ask("table")
    assert isinstance(found, list)
    return found


def test_somebody_elses_merge_is_shown_and_finished(
    lab9: Lab, display: str, tmp_path: Path
) -> None:
    name = lab9.unique_name("theirs")
    make_chain(lab9, name, "one")
    base = lab9.vm_folder(name) / "vda.qcow2"
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows("one")
        lab9.virsh("blockcommit", name, "vda", "--active")
        desktop.wait("the job", lambda: "has caught up on vda" in str(desktop.ask("banner")))
        desktop.click("button Finish")
        desktop.wait_for_front("Job on vda")
        desktop.click("button Finish")
        desktop.wait("the pivot", lambda: lab9.active_disk(name) == base)
        desktop.wait("no banner", lambda: desktop.ask("banner") == "")


def fill_active_image(lab: Lab, name: str, mib: int) -> None:
    """Write data into the VM's active image, behind what the guest uses; the VM is off then."""
    lab.virsh("destroy", name)
    writes = f"write -q -P 7 2M {mib}M"
    command = ["qemu-io", "-f", "qcow2", "-c", writes, str(lab.active_disk(name))]
    subprocess.run(lab.daemon.as_account(command), check=True, timeout=60)
    lab.start_vm(name)


def test_after_a_crash_the_window_offers_the_way_out(
    lab9: Lab, display: str, tmp_path: Path
) -> None:
    name = lab9.unique_name("crash")
    make_chain(lab9, name, "one", "two")
    fill_active_image(lab9, name, 5)
    base = lab9.vm_folder(name) / "vda.qcow2"
    settings = tmp_path / "config" / "snapview" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"merge_mib_per_second": 1, "delete_grace_seconds": 0}')
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait_for_rows("one", "two")
        desktop.click("button Merge chain")
        desktop.wait_for_words("The point “two”")
        desktop.click("button Merge")
        desktop.wait_for_job("%")
        desktop.kill()
    assert lab9.active_disk(name) != base
    with window(lab9.uri, tmp_path, display) as desktop:
        desktop.click(f"row {name}")
        desktop.wait("the banner", lambda: "Interrupted" in str(desktop.ask("banner")))
        desktop.click("button Finish")
        desktop.wait_for_front("Interrupted on")
        desktop.wait_for_words("is merged into vda.qcow2")
        desktop.click("button Finish")
        desktop.wait("the pivot", lambda: lab9.active_disk(name) == base)
        desktop.wait_for_rows()
        desktop.wait("no banner", lambda: desktop.ask("banner") == "")
    assert sorted(path.name for path in base.parent.glob("vda*")) == ["vda.qcow2"]
    assert lab9.virsh("snapshot-list", name, "--name").split() == []
    assert pattern_is_there(lab9, name, base, mib=5)


def pattern_is_there(lab: Lab, name: str, path: Path, mib: int) -> bool:
    lab.virsh("destroy", name)
    reads = f"read -q -P 7 2M {mib}M"
    command = lab.daemon.as_account(["qemu-io", "-f", "qcow2", "-c", reads, str(path)])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode == 0
