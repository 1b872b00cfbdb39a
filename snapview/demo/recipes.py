"""What the demo lab's VMs have been through: plain data, and the XML to define them with. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from snapview.core.vm import SnapshotKind


@dataclass(frozen=True, slots=True)
class Take:
    """Let the guest write, then take a snapshot that afterwards looks ``age`` old."""

    title: str
    description: str
    age: timedelta
    kind: SnapshotKind = SnapshotKind.INTERNAL
    memory: bool = True
    is_off: bool = False  # the VM is booted, written to and switched off before


@dataclass(frozen=True, slots=True)
class GoBack:
    """Revert to the snapshot of that title; what is taken next begins a branch there."""

    title: str


@dataclass(frozen=True, slots=True)
class VmRecipe:
    """One VM of the lab and how it came to be."""

    name: str
    title: str
    description: str
    is_running: bool
    deeds: tuple[Take | GoBack, ...] = ()


def _days(days: float) -> timedelta:
    return timedelta(days=days)


def _external(title: str, description: str, age: timedelta, *, memory: bool) -> Take:
    return Take(title, description, age, SnapshotKind.EXTERNAL, memory)


def _release(version: str, description: str, days: float) -> Take:
    return Take(
        f"release {version}",
        description,
        _days(days),
        SnapshotKind.EXTERNAL,
        memory=False,
        is_off=True,
    )


_WEB = VmRecipe(
    "demo-web",
    "Web server",
    "Internal snapshots with memory, in branches.",
    is_running=True,
    deeds=(
        Take("clean install", "Debian 13, nothing but ssh.", _days(362)),
        Take("base hardening", "Firewall on, root login off, updates automatic.", _days(330)),
        Take("before upgrade", "Last state that the shop ran on for months.", _days(96)),
        Take("nginx 1.29 on trial", "From the project's own repository.", _days(83)),
        Take("HTTP/3 enabled", "Works, but the load balancer does not speak it.", _days(81.5)),
        GoBack("before upgrade"),
        Take("after upgrade", "Packages of Debian 13.1; shop front page checked.", _days(34)),
        Take(
            "PHP 8.4 on trial", "Two plug-ins fail.\nTry again with their next release.", _days(9)
        ),
        GoBack("after upgrade"),
        Take("before load test", "Tuned: more workers, smaller buffers.", timedelta(minutes=25)),
    ),
)

_DATABASE = VmRecipe(
    "demo-db",
    "Database",
    "External snapshots in a line, with and without memory.",
    is_running=True,
    deeds=(
        _external("empty database", "Installed, no data yet.", _days(204), memory=False),
        _external(
            "schema loaded", "With the server running, to go on at once.", _days(150), memory=True
        ),
        _external("first customers", "Before the import was switched on.", _days(61), memory=False),
        _external("before index rebuild", "The rebuild takes the night.", _days(13), memory=True),
        _external("week 46", "The weekly one.", _days(6), memory=False),
        _external("before migration", "To PostgreSQL 18.", timedelta(hours=5), memory=True),
    ),
)

_BUILD = VmRecipe(
    "demo-build",
    "Build machine",
    "One forgotten overlay on top of the other.",
    is_running=False,
    deeds=(
        _release("1.0", "The first one. Keep.", 355),
        _release("1.1", "", 322),
        _release("1.2", "Compiler updated.", 290),
        _release("1.3", "", 251),
        _release("1.4", "", 223),
        _release("2.0", "New tool chain.", 180),
        _release("2.1", "", 152),
        _release("2.2", "", 117),
        _release("2.3", "Last one for the old distribution.", 88),
        _release("3.0", "", 45),
        _release("3.1", "", 20),
        _release("3.2", "", 2.5),
    ),
)

_FRESH = VmRecipe(
    "demo-fresh", "Fresh machine", "Has no snapshot yet: take its first.", is_running=False
)

RECIPES = (_WEB, _DATABASE, _BUILD, _FRESH)

# No KVM: the lab must work on machines that have none, or one that is there and does not work.
_DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <title>{title}</title>
  <description>{description}</description>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file={disk}/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path={serial}/></serial>
    <video><model type='vga'/></video>
  </devices>
</domain>
"""


def domain_xml(recipe: VmRecipe, *, disk: Path, serial: Path) -> str:
    """Return the definition of a VM that boots the demo guest."""
    # Loads urllib, ssl and email, 20 ms, and the window starts without it.
    from xml.sax.saxutils import escape, quoteattr

    return _DOMAIN.format(
        name=escape(recipe.name),
        title=escape(recipe.title),
        description=escape(recipe.description),
        disk=quoteattr(str(disk)),
        serial=quoteattr(str(serial)),
    )
