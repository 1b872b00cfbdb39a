"""What the detail pane says of a snapshot, of the live state and of several: pure text.

Hides the wording and the comparison of the VM's hardware then and now. No widgets here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from PySide6.QtCore import QCoreApplication

from snapview.core.vm import DiskChain, Hardware, Snapshot, SnapshotDisk, SnapshotKind, Vm
from snapview.ui.format import kind_sentence, run_state_text, snapshot_state_text
from snapview.ui.retention import consistency_text, is_expired, retention_text

LIVE = ""  # the link to "You are here"


@dataclass(frozen=True, slots=True)
class Value:
    """One value: plain text, a link to a snapshot, or a path to be shown in monospace."""

    text: str
    snapshot: str | None = None
    is_path: bool = False
    is_difference: bool = False  # other than it is now


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the pane: a word at the left and values below one another at the right."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Facts under one heading; the first section of a pane has none."""

    heading: str
    facts: tuple[Fact, ...]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Facts", text)


def memory_size(size_bytes: int | None) -> str:
    """Return a VM's memory as people write it: ``4 GiB``, ``512 MiB``, ``1.5 GiB``."""
    if size_bytes is None:
        return _tr("unknown")
    mib = size_bytes / 1024**2
    if mib < 1024:
        return f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f}".removesuffix(".0") + " GiB"


def hardware_line(vm: Vm) -> str:
    """Return the VM's hardware in one line, of what is known only."""
    hardware = vm.hardware
    parts = [hardware.os_name]
    if hardware.vcpus is not None:
        parts.append(_tr("{count} vCPU").format(count=hardware.vcpus))
    if hardware.memory_bytes is not None:
        parts.append(_tr("{size} memory").format(size=memory_size(hardware.memory_bytes)))
    parts.append(_tr("UEFI") if hardware.firmware == "uefi" else "")
    parts.append(", ".join(disk.target for disk in vm.state_disks))
    return " · ".join(part for part in parts if part)


def file_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rstrip("/").rpartition("/")[2] or path


def snapshot_sections(vm: Vm, snapshot: Snapshot) -> tuple[Section, ...]:
    """Return everything known of a snapshot from the tree alone."""
    facts = [
        Fact(_tr("Kind"), (Value(kind_sentence(snapshot)),)),
        Fact(_tr("State"), (Value(snapshot_state_text(snapshot.state)),)),
        Fact(_tr("Parent"), (_parent(vm, snapshot),)),
        _later(vm, snapshot),
        Fact(_tr("Memory"), (_memory(snapshot),)),
    ]
    facts[2:2] = _marks(snapshot)
    if snapshot.title and snapshot.title != snapshot.name:
        facts.append(Fact(_tr("Name in virsh"), (Value(snapshot.name, is_path=True),)))
    disks = tuple(_disk(disk) for disk in snapshot.disks if disk.mode != "no")
    sections = [Section("", tuple(facts))]
    if disks:
        sections.append(Section(_tr("Disks"), disks))
    return tuple(sections)


def _marks(snapshot: Snapshot) -> list[Fact]:
    """Return what is noted in the description: how the state is, and how long it is kept."""
    facts = []
    if consistency := consistency_text(snapshot):
        facts.append(Fact(_tr("Consistency"), (Value(consistency),)))
    now = datetime.now(tz=UTC)
    if until := retention_text(snapshot, now):
        is_over = is_expired(snapshot, now)
        facts.append(Fact(_tr("Retention"), (Value(until, is_difference=is_over),)))
    return facts


def _parent(vm: Vm, snapshot: Snapshot) -> Value:
    if snapshot.parent is None:
        return Value(_tr("none, the first"))
    parent = vm.tree.get(snapshot.parent)
    if parent is None:
        return Value(_tr("“{name}” is missing").format(name=snapshot.parent), is_difference=True)
    return Value(parent.label, snapshot=parent.name)


def _later(vm: Vm, snapshot: Snapshot) -> Fact:
    names = vm.tree.children(snapshot.name)
    values = [Value(vm.tree[name].label, snapshot=name) for name in names]
    if vm.tree.current == snapshot.name:
        values.append(Value(_tr("You are here"), snapshot=LIVE))
    key = _tr("Later states") if len(values) > 1 else _tr("Later state")
    return Fact(key, tuple(values) or (Value(_tr("none")),))


def _memory(snapshot: Snapshot) -> Value:
    if not snapshot.has_memory:
        return Value(_tr("not kept"))
    if snapshot.memory_path:
        return Value(snapshot.memory_path, is_path=True)
    return Value(_tr("inside the image"))


def _disk(disk: SnapshotDisk) -> Fact:
    if disk.mode == "internal":
        where = disk.frozen.path if disk.frozen else ""
        inside = Value(_tr("inside the image"))
        return Fact(disk.target, (inside, Value(where, is_path=True)) if where else (inside,))
    if disk.frozen is None and disk.overlay is None:
        return Fact(disk.target, (Value(_tr("unknown")),))
    values = []
    if disk.frozen:
        values.append(Value(disk.frozen.path, is_path=True))
    if disk.overlay:
        values.append(Value(_tr("what came after is in")))
        values.append(Value(disk.overlay.path, is_path=True))
    return Fact(disk.target, tuple(values))


def live_sections(vm: Vm) -> tuple[Section, ...]:
    """Return what is known of the state of now: where it came from, and its layers."""
    current = vm.tree.get(vm.tree.current) if vm.tree.current else None
    origin = Value(current.label, snapshot=current.name) if current else Value(_tr("no snapshot"))
    differs = {
        True: _tr("yes"),
        False: _tr("no"),
        None: _tr("unknown"),
    }[vm.live_differs]
    facts = [
        Fact(_tr("State"), (Value(run_state_text(vm.run_state)),)),
        Fact(_tr("Comes from"), (origin,)),
    ]
    if current:
        facts.append(Fact(_tr("Changed since"), (Value(differs),)))
    chains = tuple(_chain(disk) for disk in vm.state_disks)
    sections = [Section("", tuple(facts))]
    if chains:
        sections.append(Section(_tr("Layers, the written one first"), chains))
    sections.append(Section(_tr("Hardware"), _hardware(vm.hardware, None)))
    return tuple(section for section in sections if section.facts)


def _chain(disk: DiskChain) -> Fact:
    return Fact(disk.target, tuple(Value(layer.path, is_path=True) for layer in disk.layers))


def hardware_section(then: Hardware, now: Hardware) -> Section:
    """Return the hardware at a snapshot's time, noting what is different now."""
    return Section(_tr("Hardware at that time"), _hardware(then, now))


def _hardware(shown: Hardware, other: Hardware | None) -> tuple[Fact, ...]:
    lines: list[tuple[str, str, str]] = []
    for key, render in (
        (_tr("Processors"), _vcpus),
        (_tr("Memory"), lambda h: memory_size(h.memory_bytes)),
        (_tr("Machine"), lambda h: h.machine),
        (_tr("Firmware"), lambda h: h.firmware.upper()),
        (_tr("Network"), _interfaces),
        (_tr("Drives"), lambda h: ", ".join(disk.target for disk in h.disks)),
    ):
        lines.append((key, render(shown), render(other) if other else render(shown)))
    return tuple(
        Fact(key, (_compared(text, now),)) for key, text, now in lines if text or text != now
    )


def _vcpus(hardware: Hardware) -> str:
    if hardware.vcpus is None:
        return _tr("unknown")
    return _tr("{count} vCPU").format(count=hardware.vcpus)


def _interfaces(hardware: Hardware) -> str:
    if hardware.interfaces == 1:
        return _tr("1 interface")
    return _tr("{count} interfaces").format(count=hardware.interfaces)


def _compared(text: str, now: str) -> Value:
    if text == now:
        return Value(text)
    shown = _tr("{then} (now {now})").format(then=text or "–", now=now or "–")
    return Value(shown, is_difference=True)


def summary_sections(vm: Vm, names: Iterable[str]) -> tuple[Section, ...]:
    """Return what several selected snapshots have in common."""
    snapshots = [vm.tree[name] for name in names if name in vm.tree]
    with_memory = sum(1 for each in snapshots if each.has_memory)
    external = sum(1 for each in snapshots if each.kind is not SnapshotKind.INTERNAL)
    facts = (
        Fact(_tr("Internal"), (Value(str(len(snapshots) - external)),)),
        Fact(_tr("External"), (Value(str(external)),)),
        Fact(_tr("With memory"), (Value(str(with_memory)),)),
    )
    links = tuple(Value(each.label, snapshot=each.name) for each in snapshots[:12])
    rest = len(snapshots) - len(links)
    if rest > 0:
        links += (Value(_tr("and {count} more").format(count=rest)),)
    return (Section("", facts), Section(_tr("Selected"), (Fact("", links),)))
