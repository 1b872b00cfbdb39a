"""Image files through libvirt's storage driver alone; what is really there is read beside it."""

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    SnapviewError,
    Unsupported,
)
from snapview.core.vm import DiskLayer
from snapview.virt.errormap import MissingFile
from snapview.virt.host import LibvirtHost
from snapview.virt.storage import LEFT_BEHIND_SECONDS, POOL_PREFIX, LibvirtStorage, PoolFlag
from tests.journals import new_journal
from tests.lab import Lab
from tests.virt.images import MIB, Images

ODD_NAMES = [
    "with space.qcow2",
    "-lead",
    "a,b=c.qcow2",
    "q'u\"o&<te>.qcow2",
    "ü 東京.qcow2",
    "%s$x",
]


@pytest.fixture
def host(lab: Lab) -> Iterator[LibvirtHost]:
    opened = LibvirtHost(lab.uri, new_journal())
    opened.connect()
    yield opened
    left = opened.connection().listAllStoragePools(0)
    opened.close()
    assert not left, "a pool stays"


@pytest.fixture
def storage(host: LibvirtHost) -> LibvirtStorage:
    return LibvirtStorage(host.connection, host.translated)


@pytest.fixture
def images(lab: Lab) -> Images:
    return Images.beside(lab, lab.unique_name("files"))


@contextmanager
def pool_of(images: Images, lab: Lab, *, active: bool) -> Iterator[str]:
    """Somebody's own pool on the folder."""
    name = images.folder.name
    lab.virsh("pool-define-as", name, "dir", "--target", str(images.folder))
    if active:
        lab.virsh("pool-start", name)
    before = lab.virsh("pool-info", name)
    yield name
    assert lab.virsh("pool-info", name).splitlines()[:5] == before.splitlines()[:5]
    if active:
        lab.virsh("pool-destroy", name)
    lab.virsh("pool-undefine", name)


def test_the_number_is_libvirts() -> None:
    assert PoolFlag.TRANSIENT == libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT


# Listing


def test_a_folder_is_told_as_qemu_img_tells_its_files(
    storage: LibvirtStorage, images: Images
) -> None:
    images.make_line("a.raw", "b.qcow2", "c.qcow2", mib=2)
    folder = storage.read_folder(str(images.folder))
    assert folder.volumes.keys() == images.files()
    for name, volume in folder.volumes.items():
        info, image = images.info(name), volume.image
        assert image.path == images.path(name)
        assert image.format == info["format"]
        assert image.capacity_bytes == info["virtual-size"]
        assert image.allocation_bytes == info["actual-size"]
        assert image.backing == info.get("full-backing-filename")
        assert image.backing_format == info.get("backing-filename-format")
    about = os.statvfs(images.folder)
    assert abs(folder.free_bytes - about.f_bfree * about.f_frsize) < 100 * MIB


@pytest.mark.parametrize("active", [True, False])
def test_somebodys_pool_is_neither_in_the_way_nor_changed(
    storage: LibvirtStorage, images: Images, lab: Lab, active: bool
) -> None:
    with pool_of(images, lab, active=active):
        images.make("late.qcow2")  # after the pool has looked
        assert storage.read_folder(str(images.folder)).volumes.keys() == {"late.qcow2"}
        storage.make_overlay(images.path("top.qcow2"), images.layer("late.qcow2"))
        assert storage.internal_tags(images.path("top.qcow2")) == ()
        storage.remove_file(images.path("late.qcow2"))
        assert images.files() == {"top.qcow2"}


def test_a_file_that_libvirt_cannot_bear_costs_nobody_his_pool(
    storage: LibvirtStorage, images: Images, lab: Lab
) -> None:
    """A refresh would end it: as libvirt does when one header is cut off."""
    images.make("a.qcow2")
    with pool_of(images, lab, active=True):
        cut_off = b"QFI\xfb\0\0\0\x03" + bytes(60)
        images.put("cut.qcow2", cut_off)
        with pytest.raises(HostError):
            storage.read_folder(str(images.folder))
        assert storage.internal_tags(images.path("a.qcow2")) is None


def test_several_may_look_at_once(
    storage: LibvirtStorage, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.make("a.qcow2")
    dots = iter([2, 2, 2, 3])
    monkeypatch.setattr(secrets, "randbelow", lambda _most: next(dots))
    with storage._opened(str(images.folder)):
        assert storage.read_folder(str(images.folder)).volumes.keys() == {"a.qcow2"}


def test_what_is_no_plain_file_is_not_listed(storage: LibvirtStorage, images: Images) -> None:
    images.make("a.qcow2")
    for command in (
        ["mkdir", images.path("folder")],
        ["mkfifo", images.path("pipe")],
        ["ln", "-s", "/nonexistent", images.path("dangling")],
        ["ln", "-s", images.path("loop"), images.path("loop")],
    ):
        images.run(*command)
    assert storage.read_folder(str(images.folder)).volumes.keys() == {"a.qcow2"}


def test_hostile_headers_spoil_nothing_for_the_others(
    storage: LibvirtStorage, images: Images
) -> None:
    images.make_hostile()
    volumes = storage.read_folder(str(images.folder)).volumes
    assert volumes["honest.qcow2"].image.capacity_bytes == 64 * MIB
    assert volumes["honest.qcow2"].image.backing is None
    assert volumes["missing.qcow2"].image.backing == images.path("gone.qcow2")
    assert volumes["self.qcow2"].image.backing == images.path("self.qcow2")
    assert not volumes["json.qcow2"].image.has_plain_backing
    assert volumes["simple.qcow2"].image.backing == "/etc/passwd"  # what QEMU would open
    assert not volumes["nbd.qcow2"].image.has_plain_backing
    for name in images.files():
        storage.internal_tags(images.path(name))
    assert storage.internal_tags(images.path("far.qcow2")) is None
    assert storage.internal_tags(images.path("honest.qcow2")) == ()


def test_a_relative_backing_name_is_resolved_beside_its_image(
    storage: LibvirtStorage, images: Images
) -> None:
    images.make("a.qcow2")
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "a.qcow2"]
    images.run(*made, images.path("b.qcow2"))
    found = storage.read_folder(str(images.folder)).volumes["b.qcow2"].image
    assert found.backing == images.path("a.qcow2")


def test_a_folder_that_is_not_there_and_one_that_may_not_be_read(
    storage: LibvirtStorage, images: Images
) -> None:
    with pytest.raises(MissingFile):
        storage.read_folder(images.path("nowhere"))
    if os.geteuid() == 0:
        closed = images.folder / "closed"
        closed.mkdir(mode=0o700)  # root's
        with pytest.raises(SnapviewError) as caught:
            storage.read_folder(str(closed))
        assert not isinstance(caught.value, MissingFile | ConnectionLost)
    for folder in ("/dev", "/proc/self", "/sys"):
        with pytest.raises(HostError):
            storage.read_folder(folder)


# Making overlays


@pytest.mark.parametrize("base", ["base.qcow2", "base.raw"])
def test_an_overlay_reads_as_its_base_and_records_it(
    storage: LibvirtStorage, images: Images, base: str
) -> None:
    images.make(base, mib=3, write="-P 9 1M 1M")
    storage.make_overlay(images.path("top.qcow2"), images.layer(base))
    info = images.info("top.qcow2")
    assert info["full-backing-filename"] == images.path(base)
    assert info["backing-filename-format"] == images.layer(base).format
    assert info["virtual-size"] == 3 * MIB
    assert info["format-specific"]["data"]["compat"] == "1.1"  # type: ignore[index]
    assert images.content("top.qcow2") == images.content(base)
    made, below = Path(images.path("top.qcow2")).stat(), Path(images.path(base)).stat()
    assert (made.st_uid, made.st_gid) == (below.st_uid, below.st_gid)
    assert not stat.S_IMODE(made.st_mode) & 0o007, "everybody may read it"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_works(storage: LibvirtStorage, images: Images, name: str) -> None:
    folder = Images.beside(images.lab, f"{images.folder.name}/{name}")
    folder.make(name, write="-P 9 1M 1M")
    storage.make_overlay(folder.path("top.qcow2"), folder.layer(name))
    storage.make_overlay(folder.path(f"2{name}"), folder.layer("top.qcow2"))
    assert folder.content(f"2{name}") == folder.content(name)
    assert storage.read_folder(str(folder.folder)).volumes[name].image.path == folder.path(name)
    storage.remove_file(folder.path(f"2{name}"))
    storage.remove_file(folder.path(name))
    assert folder.files() == {"top.qcow2"}


def test_what_is_there_already_is_not_overwritten(
    storage: LibvirtStorage, images: Images, lab: Lab
) -> None:
    images.make_line("a.qcow2", "b.qcow2")
    want = images.content("b.qcow2")
    with pytest.raises(Conflict):
        storage.make_overlay(images.path("b.qcow2"), images.layer("a.qcow2"))
    with pool_of(images, lab, active=True), pytest.raises(Conflict):
        storage.make_overlay(images.path("b.qcow2"), images.layer("a.qcow2"))
    assert images.content("b.qcow2") == want


@pytest.mark.parametrize(
    "base",
    [
        DiskLayer("/i/x"),
        DiskLayer("rbd:p/x", "raw", "network"),
        DiskLayer("p/x", "qcow2", "volume"),
        DiskLayer("json:{}", "qcow2"),
    ],
)
def test_on_what_is_no_file_or_of_unknown_format_nothing_is_put(
    storage: LibvirtStorage, images: Images, base: DiskLayer
) -> None:
    with pytest.raises(Unsupported):
        storage.make_overlay(images.path("top.qcow2"), base)
    with pytest.raises(SnapviewError):
        storage.make_overlay(images.path("top.qcow2"), images.layer("missing.qcow2"))
    with pytest.raises(HostError):
        storage.make_overlay("../x", images.layer("a.qcow2"))
    assert images.files() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_owner_of_the_base_is_not_insisted_on(storage: LibvirtStorage, images: Images) -> None:
    images.make("a.qcow2")
    Path(images.path("a.qcow2")).chmod(0o644)
    os.chown(images.path("a.qcow2"), 0, 0)
    storage.make_overlay(images.path("top.qcow2"), images.layer("a.qcow2"))
    made = Path(images.path("top.qcow2")).stat()
    assert made.st_uid == images.folder.stat().st_uid
    assert stat.S_IMODE(made.st_mode) == 0o600


# Removing files


def test_a_removed_file_is_gone_and_only_it(storage: LibvirtStorage, images: Images) -> None:
    images.make_line("a.qcow2", "b.qcow2")
    images.run("cp", images.path("a.qcow2"), images.path("x.mem"))
    storage.remove_file(images.path("x.mem"))
    assert images.files() == {"a.qcow2", "b.qcow2"}
    storage.remove_file(images.path("x.mem"))
    storage.remove_file(images.path("nowhere/x.mem"))
    assert images.files() == {"a.qcow2", "b.qcow2"}


def test_what_is_no_plain_file_is_left_alone(storage: LibvirtStorage, images: Images) -> None:
    images.run("mkdir", images.path("folder"))
    with pytest.raises(HostError, match="no plain file"):
        storage.remove_file(images.path("folder"))
    for odd in (f"{images.folder}/../{images.folder.name}/folder", str(images.folder) + "/", "x"):
        with pytest.raises(HostError):
            storage.remove_file(odd)
    assert images.files() == {"folder"}


def test_a_file_that_cannot_be_removed_is_an_error(storage: LibvirtStorage, images: Images) -> None:
    images.make("a.qcow2")
    images.run("chmod", "0500", images.folder)
    with pytest.raises(SnapviewError):
        storage.remove_file(images.path("a.qcow2"))
    with pytest.raises(SnapviewError):
        storage.make_overlay(images.path("top.qcow2"), images.layer("a.qcow2"))
    images.run("chmod", "0700", images.folder)
    assert images.files() == {"a.qcow2"}


# States inside images


def test_the_states_inside_an_image_are_those_that_qemu_img_lists(
    storage: LibvirtStorage, images: Images
) -> None:
    images.make("a.qcow2")
    names = ["one", "two words", "ü 東京", *(f"state {number}" for number in range(20))]
    for name in names:
        images.run("qemu-img", "snapshot", "-c", name, images.path("a.qcow2"))
    assert storage.internal_tags(images.path("a.qcow2")) == tuple(names)
    images.make("b.raw")
    assert storage.internal_tags(images.path("b.raw")) == ()
    for unreadable in (images.path("missing"), "/nonexistent/x", "json:{}", "/dev/null"):
        assert storage.internal_tags(unreadable) is None


# What a killed snapview leaves


def test_a_pool_that_a_killed_snapview_left_is_ended_and_no_other(
    host: LibvirtHost, storage: LibvirtStorage, images: Images
) -> None:
    now = time.time()

    def pool(name: str, dots: int) -> Any:
        path = f"{images.folder}{'/.' * dots}"
        xml = f"<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"
        return host.connection().storagePoolCreateXML(xml, 0)

    old = int(now) - LEFT_BEHIND_SECONDS - 1
    names = [f"{POOL_PREFIX}{old}-1", f"{POOL_PREFIX}{int(now)}-2", f"{POOL_PREFIX}x-3", "theirs"]
    pools = [pool(name, 20 + number) for number, name in enumerate(names)]
    storage.clear_left_behind()
    left = {each.name() for each in host.connection().listAllStoragePools(0)}
    assert left == set(names[1:])
    for each in pools[1:]:
        each.destroy()


def test_without_a_connection_it_is_the_connection_that_is_lost() -> None:
    host = LibvirtHost("test:///default", new_journal())
    storage = LibvirtStorage(host.connection, host.translated)
    layer = DiskLayer("/i/a", "qcow2")
    for call in (
        lambda: storage.read_folder("/i"),
        lambda: storage.make_overlay("/i/b", layer),
        lambda: storage.remove_file("/i/a"),
        lambda: storage.internal_tags("/i/a"),
        storage.clear_left_behind,
    ):
        with pytest.raises(ConnectionLost):
            call()
