"""The dialog that adds a connection to a libvirt, on this machine or another one.

Hides what a valid libvirt URI is and how one is made from a user and a host.
"""

import re
from urllib.parse import urlsplit

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from snapview.ui.buttons import button
from snapview.ui.colours import Severity, current_theme
from snapview.ui.dialogs.base import StyledDialog
from snapview.ui.dialogs.plan_view import message_box
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, TINY
from snapview.ui.widgets import clear, column, label, panel, row

INDENT = 25
SYSTEM_URI = "qemu:///system"
SESSION_URI = "qemu:///session"


def _tr(text: str) -> str:
    return QCoreApplication.translate("AddConnection", text)


def ssh_uri(user: str, host: str) -> str:
    """Return the URI of the system's libvirt on another machine."""
    account = f"{user}@" if user else ""
    return f"qemu+ssh://{account}{host}/system"


def host_problem(user: str, host: str) -> str:
    """Return why a connection by SSH cannot be made of these, as a sentence; empty: it can."""
    if not host:
        return _tr("Type the name or address of the other machine.")
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", host) or host.startswith("-"):
        return _tr("“{host}” is not the name of a machine.").format(host=host)
    if user and (not re.fullmatch(r"[A-Za-z0-9._-]+", user) or user.startswith("-")):
        return _tr("“{user}” is not the name of a user.").format(user=user)
    return ""


def uri_problem(uri: str) -> str:
    """Return why this is no libvirt URI, as a sentence; empty: it may be one."""
    if not uri:
        return _tr("Type a libvirt URI, such as {example}.").format(example=SYSTEM_URI)
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = None
    if parts is None or not re.fullmatch(r"[a-z][a-z0-9.]*(\+[a-z0-9]+)?", parts.scheme):
        return _tr("A libvirt URI starts with a driver, such as {example}.").format(
            example=SYSTEM_URI
        )
    if not uri.startswith(f"{parts.scheme}://"):
        text = _tr("After “{driver}:” two slashes have to follow, as in {example}.")
        return text.format(driver=parts.scheme, example=SYSTEM_URI)
    if any(letter.isspace() for letter in uri) or parts.netloc.startswith("-"):
        return _tr("This URI has a letter in it that cannot be there.")
    if parts.path in {"", "/"} and parts.scheme.startswith("qemu"):
        return _tr("A QEMU URI ends in /system or /session.")
    return ""


class AddConnectionDialog(StyledDialog):
    """Asks for a libvirt URI. Emits ``chosen`` with it."""

    chosen = Signal(str)

    def __init__(self, known: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent, self.tr("Add connection"))
        self._known = known
        self.system = QRadioButton(self.tr("The &VMs of this computer"))
        self.session = QRadioButton(self.tr("The VMs of this &account only"))
        self.remote = QRadioButton(self.tr("&Another computer, by SSH"))
        self.custom = QRadioButton(self.tr("&Something else"))
        self.user, self.host, self.uri_field = QLineEdit(), QLineEdit(), QLineEdit()
        self.cancel_button = button(self.tr("Cancel"))
        self.go_button = button(self.tr("A&dd"), "filled", icon("add", current_theme().on_filled))
        self._problem = column(spacing=0)
        self._build()
        self._connect()
        self._preselect()
        self._follow()
        self.setMinimumWidth(520)

    def uri(self) -> str:
        """Return the chosen URI as it is filled in now."""
        if self.system.isChecked():
            return SYSTEM_URI
        if self.session.isChecked():
            return SESSION_URI
        if self.remote.isChecked():
            return ssh_uri(self.user.text().strip(), self.host.text().strip())
        return self.uri_field.text().strip()

    def problem(self) -> str:
        """Return why this connection cannot be added, as a sentence; empty: it can."""
        if self.remote.isChecked():
            found = host_problem(self.user.text().strip(), self.host.text().strip())
        else:
            found = uri_problem(self.uri())
        if not found and self.uri() in self._known:
            return self.tr("This connection is in the list already.")
        return found

    # -- building

    def _build(self) -> None:
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=TINY, margin=INSET)
        self._add(inner, self.system, self.tr("For most people: the VMs that virt-manager shows"))
        self._add(
            inner, self.session, self.tr("Needs no permission; GNOME Boxes keeps its VMs here")
        )
        self._add(inner, self.remote, self.tr("The SSH key has to be set up, without a question"))
        fields = row(spacing=GAP)
        for field, name, hint, stretch in (
            (self.user, self.tr("User"), self.tr("user (optional)"), 1),
            (self.host, self.tr("Host"), self.tr("host name or address"), 2),
        ):
            field.setAccessibleName(name)
            field.setPlaceholderText(hint)
            fields.addWidget(field, stretch)
        self._indent(inner, fields)
        inner.addSpacing(GAP)
        self._add(inner, self.custom, self.tr("Any libvirt URI"))
        line = row(spacing=0)
        self.uri_field.setAccessibleName(self.tr("libvirt URI"))
        self.uri_field.setPlaceholderText("qemu+tls://host/system")
        line.addWidget(self.uri_field)
        self._indent(inner, line)
        inner.addSpacing(GAP)
        inner.addLayout(self._problem)
        inner.addStretch(1)
        layout.addWidget(body, 1)
        group = QButtonGroup(self)
        for each in (self.system, self.session, self.remote, self.custom):
            group.addButton(each)
        self.note = self.add_foot(layout, self.cancel_button, self.go_button)

    def _add(self, layout: QVBoxLayout, choice: QRadioButton, note: str) -> None:
        layout.addSpacing(TINY)
        layout.addWidget(choice)
        line = row(spacing=0)
        line.addWidget(label(note, "secondary", wraps=True))
        self._indent(layout, line)
        choice.setAccessibleDescription(note)

    def _indent(self, layout: QVBoxLayout, line: QHBoxLayout) -> None:
        line.setContentsMargins(INDENT, 0, 0, 0)
        layout.addLayout(line)

    def _connect(self) -> None:
        for choice in (self.system, self.session, self.remote, self.custom):
            choice.toggled.connect(self._follow)
        for field in (self.user, self.host, self.uri_field):
            field.textChanged.connect(self._follow)
        self.cancel_button.clicked.connect(self.reject)
        self.go_button.clicked.connect(self._on_go)

    def _preselect(self) -> None:
        for uri, choice in ((SYSTEM_URI, self.system), (SESSION_URI, self.session)):
            if uri not in self._known:
                choice.setChecked(True)
                choice.setFocus()
                return
        self.remote.setChecked(True)
        self.host.setFocus()

    # -- reactions

    def _follow(self) -> None:
        self.user.setEnabled(self.remote.isChecked())
        self.host.setEnabled(self.remote.isChecked())
        self.uri_field.setEnabled(self.custom.isChecked())
        found = self.problem()
        clear(self._problem)
        empty = not (self.host.text() if self.remote.isChecked() else self.uri().strip())
        if found and not empty:  # nobody is told off before typing
            self._problem.addWidget(message_box(Severity.WARNING, "", found))
        self.go_button.setEnabled(not found)
        self.go_button.setToolTip(found)
        self.note.setText("" if found else self.uri())

    def _on_go(self) -> None:
        if not self.problem():
            self.chosen.emit(self.uri())
            self.accept()
