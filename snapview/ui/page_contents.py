"""What the empty pages say: for each state of a connection or VM, words and ways on. No widgets."""

from dataclasses import dataclass
from enum import Enum

from PySide6.QtCore import QCoreApplication

from snapview.core.errors import SnapviewError
from snapview.session import ConnectionState, ConnectionView
from snapview.ui.illustrations import Illustration
from snapview.ui.widgets import shortened

SESSION_URI = "qemu:///session"


class PageAction(Enum):
    """What a page offers to do."""

    MAKE_DEMO = "make-demo"
    ADD_CONNECTION = "add-connection"
    RETRY = "retry"
    OPEN_SESSION = "open-session"
    REMOVE_CONNECTION = "remove-connection"
    TAKE = "take"


@dataclass(frozen=True, slots=True)
class PageButton:
    """A button of the page."""

    action: PageAction
    text: str
    icon: str


@dataclass(frozen=True, slots=True)
class Tip:
    """A line with an icon: something to try, or another way; ``link`` does it."""

    icon: str
    title: str
    text: str
    link: str = ""
    action: PageAction | None = None


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything on a page. ``commands`` are pairs of a caption and a command to be copied."""

    illustration: Illustration
    title: str
    text: str
    buttons: tuple[PageButton, ...] = ()
    caption: str = ""
    commands: tuple[tuple[str, str], ...] = ()
    tips_heading: str = ""
    tips: tuple[Tip, ...] = ()
    said: str = ""  # by libvirt, word for word


def _tr(text: str) -> str:
    return QCoreApplication.translate("Pages", text)


def connection_page(view: ConnectionView, *, can_make_demo: bool) -> PageContent:
    """Return the page of a connection that has no VM to show."""
    match view.state:
        case ConnectionState.CONNECTING:
            return loading_page(_tr("Connecting"), view.uri)
        case ConnectionState.NOT_INSTALLED:
            return _not_installed(view)
        case ConnectionState.NOT_PERMITTED:
            return _not_permitted(view, can_make_demo=can_make_demo)
        case ConnectionState.CONNECTED:
            if view.vms:
                return choose_page()
            return no_vms_page(can_make_demo=can_make_demo)
        case _:
            return _no_connection(view, can_make_demo=can_make_demo)


def no_connection_page(*, can_make_demo: bool) -> PageContent:
    """Return the page for when there is no connection at all."""
    demo = (_demo_button(),) if can_make_demo else ()
    add = PageButton(PageAction.ADD_CONNECTION, _tr("Add connection…"), "add" if not demo else "")
    text = _tr("Add a connection to a libvirt, on this computer or on another one.")
    return PageContent(Illustration.TREE, _tr("No connection yet"), text, (*demo, add))


def loading_page(title: str, text: str) -> PageContent:
    """Return the page for the moment before something is there."""
    return PageContent(Illustration.WAITING, title, text)


def choose_page() -> PageContent:
    """Return the page for when VMs are there and none is chosen."""
    title = _tr("Choose a virtual machine")
    return PageContent(Illustration.TREE, title, _tr("Its snapshots appear here as a tree."))


def no_vms_page(*, can_make_demo: bool) -> PageContent:
    """Return the page of a connection without VMs."""
    demo = (_demo_button(),) if can_make_demo else ()
    text = _tr("libvirt is running and snapview may use it.")
    if can_make_demo:
        text += "\n" + _tr("Make the demo lab to look around with nothing at stake.")
    return PageContent(
        Illustration.TREE,
        _tr("No virtual machines yet"),
        text,
        (*demo, PageButton(PageAction.ADD_CONNECTION, _tr("Add connection…"), "")),
        caption=_tr("4 small VMs in a folder of their own, removed in one command")
        if can_make_demo
        else "",
        tips_heading=_tr("What you can try there") if can_make_demo else _tr("What snapview does"),
        tips=(
            Tip(
                "revert",
                _tr("Take a snapshot, change something, go back"),
                _tr("Each dialog says what stays, what goes and how to undo it."),
            ),
            Tip(
                "branch",
                _tr("See where you are in the tree"),
                _tr("Branches, and what the VM has changed since."),
            ),
            Tip(
                "merge",
                _tr("Merge or discard what is not needed"),
                _tr("The two words differ: merging keeps the later state."),
            ),
        ),
    )


def _not_installed(view: ConnectionView) -> PageContent:
    return PageContent(
        Illustration.MISSING,
        _tr("There is no libvirt here yet"),
        _tr("snapview works with the VMs of libvirt and QEMU.\nInstall them with one command."),
        (PageButton(PageAction.RETRY, _tr("Try again"), "refresh"),),
        caption=_tr("It also tries by itself"),
        commands=(
            (_tr("Debian, Ubuntu, Mint"), "sudo apt install libvirt-daemon-system qemu-system-x86"),
            (_tr("Fedora, RHEL, CentOS Stream"), "sudo dnf install libvirt-daemon-kvm"),
            (_tr("Arch, Manjaro"), "sudo pacman -S libvirt qemu-base"),
            (_tr("openSUSE"), "sudo zypper install libvirt-daemon-qemu qemu-x86"),
        ),
        tips_heading=_tr("Or use the VMs of another machine"),
        tips=(
            Tip(
                "server",
                _tr("Connect by SSH"),
                _tr("Nothing has to be installed here for that."),
                _tr("Add connection…"),
                PageAction.ADD_CONNECTION,
            ),
        ),
        said=_said(view.error),
    )


def _not_permitted(view: ConnectionView, *, can_make_demo: bool) -> PageContent:
    tips = [
        Tip(
            "monitor",
            _tr("Use your own session"),
            _tr("{uri} needs no permission.").format(uri=SESSION_URI),
            _tr("Connect"),
            PageAction.OPEN_SESSION,
        )
    ]
    if can_make_demo:
        tips.append(_demo_tip())
    return PageContent(
        Illustration.LOCKED,
        _tr("The system’s VMs are locked"),
        _tr(
            "libvirt is running, but your account may not use it yet.\n"
            "Nothing is wrong with your VMs."
        ),
        (PageButton(PageAction.RETRY, _tr("Try again"), "refresh"),),
        commands=(
            (
                _tr("For good: once in a terminal, then log out and in again"),
                "sudo usermod -aG libvirt $USER",
            ),
        ),
        tips_heading=_tr("Or without the system’s VMs"),
        tips=tuple(tips),
        said=_said(view.error),
    )


def _no_connection(view: ConnectionView, *, can_make_demo: bool) -> PageContent:
    error = view.error
    text = error.message if error else _tr("{uri} does not answer.").format(uri=view.uri)
    if error and error.advice:
        text += "\n" + error.advice
    tips = [
        Tip(
            "link",
            _tr("Add another connection"),
            _tr("Here, or on another machine by SSH."),
            _tr("Add connection…"),
            PageAction.ADD_CONNECTION,
        )
    ]
    if can_make_demo:
        tips.append(_demo_tip())
    lost = view.state is ConnectionState.LOST
    return PageContent(
        Illustration.BROKEN,
        _tr("The connection is lost") if lost else _tr("No connection"),
        text,
        (
            PageButton(PageAction.RETRY, _tr("Try again"), "refresh"),
            PageButton(PageAction.REMOVE_CONNECTION, _tr("Remove it from the list"), ""),
        ),
        caption=view.uri,
        tips_heading=_tr("Or meanwhile"),
        tips=tuple(tips),
        said=_said(error),
    )


def unreadable_page(vm_name: str, error: SnapviewError) -> PageContent:
    """Return the page of a VM that cannot be read."""
    text = "\n".join(part for part in (error.message, error.advice) if part)
    return PageContent(
        Illustration.BROKEN,
        _tr("“{vm}” cannot be read").format(vm=shortened(vm_name)),
        text,
        (PageButton(PageAction.RETRY, _tr("Try again"), "refresh"),),
        said=_said(error),
    )


def gone_page(vm_name: str) -> PageContent:
    """Return the page of a VM that somebody else removed."""
    return PageContent(
        Illustration.GONE,
        _tr("“{vm}” is gone").format(vm=shortened(vm_name)),
        _tr("Another program has removed this VM.\nsnapview did nothing to it."),
    )


def _demo_button() -> PageButton:
    return PageButton(PageAction.MAKE_DEMO, _tr("Make the demo lab"), "flask")


def _demo_tip() -> Tip:
    return Tip(
        "flask",
        _tr("Make the demo lab"),
        _tr("4 small VMs of its own, no permission needed."),
        _tr("Make it"),
        PageAction.MAKE_DEMO,
    )


def _said(error: SnapviewError | None) -> str:
    return error.detail if error else ""
