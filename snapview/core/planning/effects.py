"""What merges and deletes mean besides: what is lost, what to know of it, what has no room."""

from collections.abc import Container, Iterator, Sequence

from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images
from snapview.core.planning.merging import Commit, Pull, in_vm
from snapview.core.planning.plans import Refusal, RefusalCode
from snapview.core.planning.space import tight, too_small
from snapview.core.vm import Snapshot, Vm

_NAMED = 5  # of the points that are lost; the others are counted


def lost_points(removed: Sequence[Snapshot]) -> tuple[str, ...]:
    """Say which points in time are lost."""
    lost = [f"The point “{s.label}”: no more revert to it" for s in removed[:_NAMED]]
    if len(removed) > _NAMED:
        lost.append(f"and {len(removed) - _NAMED} more")
    return tuple(lost)


def kept_states(vm: Vm, gone: Container[str]) -> tuple[str, ...]:
    """Say what stays."""
    stay = [snapshot for snapshot in vm.tree if snapshot.name not in gone]
    kept = ["The VM as it is now"]
    if len(stay) == 1:
        kept.append(f"“{stay[0].label}”")
    elif stay:
        kept.append(f"{len(stay)} other snapshots")
    return tuple(kept)


def warnings_of(vm: Vm, images: Images, job: Commit | Pull) -> Iterator[str]:
    """Yield what the user has to know of a job that is about to be done to the images."""
    image = job.base if isinstance(job, Commit) else job.image
    if image not in images.live or in_vm(images, job):
        return
    yield f"“{vm.name}” cannot be started until this is done."
    if vm.checkpoints:  # only libvirt's own jobs carry the bitmaps over
        names = ", ".join(vm.checkpoints)
        yield f"The next backup has to be a full one, because these checkpoints break: {names}."


def no_room(vm: Vm, figures: Figures) -> Refusal | None:
    """Refuse when there is certainly too little room at some moment."""
    text = too_small(vm.storage, figures.needs())
    if not text:
        return None
    advice = "Free some space there, or delete snapshots that are discarded, not merged."
    return Refusal(RefusalCode.NO_SPACE, f"{text}.", advice)


def little_room(vm: Vm, figures: Figures) -> tuple[str, ...]:
    """Warn when there may be too little room at some moment."""
    text = tight(vm.storage, figures.needs())
    return (text,) if text else ()
