"""libvirt's volumes and their headers, honest and hostile; real ones are in ``test_storage``."""

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from snapview.core.errors import HostError
from snapview.core.storage import ImageFile
from snapview.core.vm import DiskChain, DiskLayer
from snapview.virt.image_files import (
    Folder,
    Volume,
    aliases,
    build_volume,
    doubtful,
    folder_of,
    images_of,
    layers_of,
    parse_volume,
    split_path,
    to_follow,
)
from snapview.virt.xml import BadXml

# As libvirt 9.0 wrote it; only the paths were changed.
OVERLAY = """<volume type='file'>
  <name>top.qcow2</name>
  <key>/pool/./top.qcow2</key>
  <capacity unit='bytes'>8388608</capacity>
  <allocation unit='bytes'>200704</allocation>
  <physical unit='bytes'>196616</physical>
  <target>
    <path>/pool/./top.qcow2</path>
    <format type='qcow2'/>
    <permissions>
      <mode>0644</mode>
      <owner>64055</owner>
      <group>65534</group>
    </permissions>
    <timestamps>
      <atime>1795379450.210705010</atime>
      <mtime>1795379450.142705012</mtime>
      <ctime>1795379450.142705013</ctime>
      <btime>0</btime>
    </timestamps>
    <compat>1.1</compat>
    <clusterSize unit='B'>65536</clusterSize>
    <features/>
  </target>
  <backingStore>
    <path>/pool/./base.qcow2</path>
    <format type='qcow2'/>
  </backingStore>
</volume>
"""


def test_a_volume() -> None:
    name, volume = parse_volume(OVERLAY, "/images") or ("", Volume(ImageFile("")))
    assert name == "top.qcow2"
    assert volume.image == ImageFile(
        path="/images/top.qcow2",
        format="qcow2",
        backing="/pool/base.qcow2",
        backing_format="qcow2",
        capacity_bytes=8 << 20,
        allocation_bytes=200704,
        is_open_to_all=True,
    )
    closed = parse_volume(OVERLAY.replace("0644", "0640"), "/images") or ("", volume)
    assert not closed[1].image.is_open_to_all
    assert volume.stamp
    assert volume.permissions == ("0644", "64055", "65534")


@pytest.mark.parametrize(
    "text",
    [
        "<volume type='dir'><name>sub</name></volume>",
        "<volume type='block'><name>sda</name></volume>",
        "<volume type='ploop'><name>tree</name></volume>",
        "<volume type='network'><name>x</name></volume>",
        "<volume><name>..</name></volume>",
        "<volume><name>a/b</name></volume>",
        "<volume/>",
    ],
)
def test_what_is_no_plain_file_is_none(text: str) -> None:
    assert parse_volume(text, "/images") is None


def test_what_is_missing_or_odd_is_unknown() -> None:
    odd = """<volume><name>x</name><capacity unit='GiB'>1</capacity><allocation>-5</allocation>
        <target><permissions><mode>rwx</mode><owner>root</owner><group>0</group></permissions>
        <timestamps><mtime>1</mtime></timestamps></target><backingStore><path/></backingStore>
        </volume>"""
    assert parse_volume(odd, "/i") == ("x", Volume(ImageFile("/i/x")))
    with pytest.raises(BadXml):
        parse_volume("<!DOCTYPE x><volume/>", "/i")


@pytest.mark.parametrize(
    ("backing", "kept"),
    [
        ("/a//b/./c", "/a/b/c"),
        ("/a/../b", "/a/../b"),  # a may be a symbolic link
        ('json:{"driver":"qcow2"}', 'json:{"driver":"qcow2"}'),
        ("nbd://host/./x", "nbd://host/./x"),
        ("-lead", "-lead"),
    ],
)
def test_a_backing_name_is_kept_as_it_is_meant(backing: str, kept: str) -> None:
    text = OVERLAY.replace("/pool/./base.qcow2", backing.replace('"', "&quot;"))
    found = parse_volume(text, "/i")
    assert found is not None
    assert found[1].image.backing == kept


@pytest.mark.parametrize(
    "path",
    [
        "",
        "relative",
        "-x",
        "/",
        "/a/",
        "/a/../b",
        "/a//b",
        "/a/./b",
        "/a\nb",
        "/dev/sda",
        "/dev/mapper/x",
        "/proc/1/mem",
        "/sys/x",
        "/etc/shadow",
        "/usr/lib/x",
        "json:{}",
        "nbd:host:1",
    ],
)
def test_what_is_no_path_of_an_image_is_refused(path: str) -> None:
    assert folder_of(path) is None
    with pytest.raises(HostError):
        split_path(path)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/x", ("/", "x")),
        ("/a b/ü, 'q\"=&<.qcow2", ("/a b", "ü, 'q\"=&<.qcow2")),
        ("/devices/-x", ("/devices", "-x")),
        ("/home/etc/x", ("/home/etc", "x")),
    ],
)
def test_any_plain_path_is_one(path: str, parts: tuple[str, str]) -> None:
    assert split_path(path) == parts


# A new overlay


@pytest.mark.parametrize(
    ("permissions", "mode"),
    [
        (None, "0600"),
        (("0644", "0", "0"), "0640"),
        (("0666", "0", "0"), "0660"),
        (("0400", "0", "0"), "0600"),
        (("0755", "0", "0"), "0640"),
        (("0777", "0", "0"), "0660"),
    ],
)
def test_a_new_overlay_is_never_for_everybody(
    permissions: tuple[str, str, str] | None, mode: str
) -> None:
    base = DiskLayer("/i/a&<'>.raw", "raw")
    root = ET.fromstring(build_volume("n&<'>", base, permissions))
    assert root.findtext("name") == "n&<'>"
    assert root.findtext("target/permissions/mode") == mode
    assert (root.find("target/permissions/owner") is not None) is (permissions is not None)
    assert root.findtext("backingStore/path") == base.path
    formats = [root.find(f"{where}/format") for where in ("target", "backingStore")]
    assert [each.get("type") for each in formats if each is not None] == ["qcow2", "raw"]


# Headers and who is to be believed


def folder(path: str, *images: ImageFile, stamps: bool = True) -> Folder:
    volumes = {
        image.path.rpartition("/")[2]: Volume(image, image.path.rpartition("/")[2] * stamps)
        for image in images
    }
    return Folder(path, volumes)


def qcow2(path: str, backing: str | None = None, backing_format: str = "qcow2") -> ImageFile:
    return ImageFile(path, "qcow2", backing, backing_format if backing else None)


BASE, TOP = qcow2("/i/base"), qcow2("/i/top", "/i/base")
FAKE = qcow2("/i/fake", "/etc/shadow", "raw")


def test_headers_are_the_truth() -> None:
    found = images_of([folder("/i", BASE, TOP)], [DiskLayer("/i/top", "qcow2")], ["/i/top"])
    assert found == {"/i/base": BASE, "/i/top": TOP}


@pytest.mark.parametrize(
    "said",
    [
        [DiskLayer("/i/fake", "raw")],
        [DiskLayer("/i/over", "qcow2")],  # an overlay that calls it raw
    ],
)
def test_what_a_guest_wrote_into_its_raw_disk_is_no_header(said: list[DiskLayer]) -> None:
    over = qcow2("/i/over", "/i/fake", "raw")
    found = images_of([folder("/i", FAKE, over)], said, [])
    assert found["/i/fake"] == ImageFile("/i/fake", "raw")
    assert found["/i/over"] == over


def test_a_guests_false_header_takes_no_other_images_header_away() -> None:
    """Else the base of that image would look as if nobody needed it."""
    lying = qcow2("/i/fake", "/i/top", "raw")
    for said in ([DiskLayer("/i/fake", "raw")], []):
        found = images_of([folder("/i", lying, TOP, BASE)], said, [])
        assert found["/i/top"] == TOP


def test_where_opinions_differ_the_header_stays() -> None:
    said = [DiskLayer("/i/top", "raw"), DiskLayer("/i/top", "qcow2"), DiskLayer("/i/top")]
    assert images_of([folder("/i", TOP)], said, [])["/i/top"] == TOP


def test_a_loop_of_headers_ends() -> None:
    one, two = qcow2("/i/one", "/i/two"), qcow2("/i/two", "/i/one")
    found = images_of([folder("/i", one, two)], [DiskLayer("/i/one", "qcow2")], [])
    assert found == {"/i/one": one, "/i/two": two}
    assert to_follow(found, ["/i/one"], ["/i"]) == set()


# Folders


def test_a_chain_is_followed_into_other_folders() -> None:
    images = {"/i/top": qcow2("/i/top", "/j/base"), "/i/stray": qcow2("/i/stray", "/k/base")}
    assert to_follow(images, ["/i/top"], ["/i"]) == {"/j"}
    assert to_follow(images, ["/i/top"], ["/i", "/j"]) == set()
    assert to_follow(images, ["/elsewhere/x", "pool/vol"], ["/i", "/j"]) == {"/elsewhere"}


@pytest.mark.parametrize("backing", ["json:{}", "nbd://x", "/dev/sda", "/a/../b", "base"])
def test_what_is_no_plain_path_is_not_followed(backing: str) -> None:
    images = {"/i/top": qcow2("/i/top", backing)}
    assert to_follow(images, ["/i/top"], ["/i"]) == set()


def test_an_overlay_that_may_name_our_image_by_another_path_is_looked_into() -> None:
    images = {"/i/base": BASE, "/i/stray": qcow2("/i/stray", "/real/base")}
    assert to_follow(images, [], ["/i"]) == {"/real"}


def test_a_folder_with_two_names_is_one() -> None:
    listed = [
        folder("/i", BASE, qcow2("/i/top", "/real/base")),
        folder("/real", qcow2("/real/base"), qcow2("/real/top", "/real/base")),
    ]
    for folders in (listed, listed[::-1]):
        assert images_of(folders, [], ["/i/top"]) == {"/i/base": BASE, "/i/top": TOP}
    assert aliases(listed, {"/i"}) == {"/real": "/i"}
    assert doubtful(listed, {"/i"}) == frozenset()


def test_where_definitions_use_both_names_nothing_is_proven() -> None:
    listed = [folder("/i", BASE), folder("/real", qcow2("/real/base"))]
    assert set(images_of(listed, [], ["/i/base", "/real/base"])) == {"/i/base", "/real/base"}
    assert doubtful(listed, {"/i", "/real"}) == {"/i", "/real"}


def test_a_folder_with_three_names_keeps_one() -> None:
    for paths in itertools.permutations(("/a", "/i", "/z")):
        listed = [folder(path, qcow2(f"{path}/base")) for path in paths]
        assert set(images_of(listed, [], ["/i/base"])) == {"/i/base"}
        assert set(images_of(listed, [], [])) == {f"{paths[0]}/base"}


@pytest.mark.parametrize(
    "other",
    [
        folder("/j", qcow2("/j/base"), qcow2("/j/more")),  # other names
        folder("/j", qcow2("/j/base"), stamps=False),  # times unknown
        Folder("/j"),
    ],
)
def test_folders_that_only_look_alike_stay_two(other: Folder) -> None:
    listed = [folder("/i", BASE), other]
    assert aliases(listed, {"/i"}) == {}
    assert aliases([Folder("/i"), Folder("/j")], {"/i"}) == {}
    touched = replace(other, volumes={"base": Volume(qcow2("/j/base"), "another time")})
    assert aliases([folder("/i", BASE), touched], {"/i"}) == {}


def test_only_files_are_image_files() -> None:
    layers = (DiskLayer("/x"), DiskLayer("p/v", None, "volume"), DiskLayer("/y", "raw"))
    assert layers_of([DiskChain("vda", layers), DiskChain("hda", ())]) == (layers[0], layers[2])
