"""The dialog that merges or discards snapshots; the plan says which of the two it is.

Hides how word, icon, picture and button follow from the plan's acts.
"""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QGridLayout, QWidget

from snapview.core.operations import DeleteSnapshot
from snapview.core.planning import Act, Plan, Refusal, Step, plan
from snapview.core.vm import SnapshotTree, Vm
from snapview.ui.colours import Severity
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.chain_picture import Box, ChainPicture
from snapview.ui.dialogs.plan_view import message_box, path_label, refusal_box, warnings_of
from snapview.ui.format import count_text, plural
from snapview.ui.theme import INSET, SMALL_INSET
from snapview.ui.widgets import clear, column, hairline, label, panel, row

MOST_FILES = 6  # listed; the rest is a number


class RemoveDialog(OperationDialog):
    """Asks for a ``DeleteSnapshot``."""

    def __init__(
        self,
        vm: Vm,
        snapshots: tuple[str, ...],
        parent: QWidget | None = None,
        *,
        grace_seconds: int = 0,
    ) -> None:
        """Offer to remove snapshots.

        Args:
            vm: the VM as last read.
            snapshots: the selected ones.
            parent: the window.
            grace_seconds: how long it can be undone before it starts.
        """
        super().__init__(vm, parent, "", ("", "discard"))
        self._names = snapshots
        self._grace_seconds = grace_seconds
        self._shown: tuple[Vm, Plan | Refusal] | None = None
        self.subtree = QCheckBox()
        self._picture = ChainPicture()
        self._facts = column(spacing=SMALL_INSET)
        self._build()
        self._follow_vm()
        if isinstance(plan(vm, DeleteSnapshot(vm.uuid, snapshots)), Refusal):
            self.subtree.setChecked(self._subtree_is_possible())
        self.subtree.toggled.connect(self.replan)
        self.replan()
        self.resize(660, 400)
        # Without time to think again, Enter must not lose anything.
        (self.go_button if grace_seconds else self.cancel_button).setFocus()

    def operation(self) -> DeleteSnapshot:
        """Return what is to be removed as it is chosen now."""
        with_subtree = self.subtree.isChecked() and not self.subtree.isHidden()
        return DeleteSnapshot(self.vm.uuid, self._names, subtree=with_subtree)

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now."""
        if vm != self.vm:
            self.vm = vm
            self._follow_vm()
            self.replan()

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show what goes and what stays, or the refusal."""
        if (self.vm, planned) == self._shown:
            return
        self._shown = (self.vm, planned)
        clear(self._facts)
        word = self._word(planned)
        self.setWindowTitle(self._title(word))
        if isinstance(planned, Refusal):
            self.set_go(word, "discard")
            self._picture.hide()
            self._facts.addWidget(refusal_box(planned))
            self.note.setText("")
        else:
            self._show_accepted(planned, word)
        self._facts.addStretch(1)

    # -- words

    def _word(self, planned: Plan | Refusal) -> str:
        if isinstance(planned, Refusal):
            return self.tr("Remove")
        if Act.DISCARD not in planned.acts:
            return self.tr("Merge")
        return self.tr("Merge and discard") if Act.MERGE in planned.acts else self.tr("Discard")

    def _title(self, word: str) -> str:
        tree = self.vm.tree
        if len(self._names) == 1:
            found = tree.get(self._names[0])
            what = f"“{found.label if found else self._names[0]}”"
        else:
            what = count_text(len(self._names))
        return self.tr("{word} {what} of {vm}").format(word=word, what=what, vm=self.vm.name)

    # -- showing

    def _show_accepted(self, planned: Plan, word: str) -> None:
        assert isinstance(planned.operation, DeleteSnapshot)
        count = len(planned.operation.snapshots)
        merges = Act.DISCARD not in planned.acts
        text = word if count == 1 else f"{word} {count}"
        self.set_go(f"&{text}", "merge" if merges else "discard")
        self._show_picture(planned.operation.snapshots, merges=merges)
        for warning in warnings_of(planned):
            self._facts.addWidget(message_box(Severity.WARNING, "", warning))
        grid = QGridLayout()
        grid.setHorizontalSpacing(SMALL_INSET)
        grid.setVerticalSpacing(8)
        grid.setColumnMinimumWidth(0, 60)
        grid.setColumnStretch(1, 1)
        self._add_line(grid, self.tr("Goes"), *(label(t, wraps=True) for t in planned.lost))
        self._add_line(grid, self.tr("Stays"), *(label(t, wraps=True) for t in planned.kept))
        steps = [label(step.what, wraps=True) for step in planned.steps[:MOST_FILES]]
        self._add_line(grid, self.tr("Steps"), *steps, *self._rest(len(planned.steps)))
        files = [self._files(step) for step in planned.steps if step.files]
        self._add_line(grid, self.tr("Files"), *files[:MOST_FILES], *self._rest(len(files)))
        self._facts.addLayout(grid)
        self.note.setText(self._undo_note(planned))

    def _undo_note(self, planned: Plan) -> str:
        if planned.undo:
            return self.tr("Undo: {how}").format(how=planned.undo)
        if self._grace_seconds:
            return self.tr(
                "It starts after {seconds} s; until then it can be undone. After that it is final."
            ).format(seconds=self._grace_seconds)
        return self.tr("This cannot be taken back.")

    def _rest(self, count: int) -> list[QWidget]:
        rest = count - MOST_FILES
        if rest <= 0:
            return []
        return [label(plural(rest, self.tr("and 1 more"), self.tr("and {number} more")), "note")]

    def _add_line(self, grid: QGridLayout, key: str, *values: QWidget) -> None:
        for number, value in enumerate(values):
            at = grid.rowCount()
            if not number:
                grid.addWidget(label(key, "note"), at, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(value, at, 1)

    def _files(self, step: Step) -> QWidget:
        made = QWidget()
        line = row(made, spacing=8)
        for number, path in enumerate(step.files):
            if number:
                line.addWidget(label(self.tr("into"), "note"))
            line.addWidget(path_label(path))
        if step.act is Act.DISCARD:
            line.addWidget(label(self.tr("is removed"), "note"))
        line.addStretch(1)
        return made

    def _show_picture(self, names: tuple[str, ...], *, merges: bool) -> None:
        self._picture.setVisible(len(names) == 1)
        if len(names) != 1:
            return
        now, then = boxes_around(self.vm.tree, names[0], merges=merges)
        tree = self.vm.tree
        end = ""
        if names[0] in tree.live_path():
            is_next = tree.current in {names[0], *tree.children(names[0])[:1]}
            end = self.tr("here") if is_next else self.tr("… here")
        self._picture.show_chain(now, then, end)

    # -- building and following

    def _build(self) -> None:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        layout.addWidget(self._picture)
        layout.addWidget(self.subtree)
        layout.addWidget(hairline())
        layout.addLayout(self._facts)
        column(self.body, spacing=0).addWidget(self.scrolled(inner))

    def _follow_vm(self) -> None:
        count = len(self._descendants())
        self.subtree.setVisible(count > 0)
        one = self.tr("Also the &1 snapshot that stands on it")
        many = self.tr("&Also the {number} snapshots that stand on it")
        self.subtree.setText(plural(count, one, many))

    def _descendants(self) -> set[str]:
        tree = self.vm.tree
        found = {each for name in self._names if name in tree for each in tree.subtree(name)}
        return found - set(self._names)

    def _subtree_is_possible(self) -> bool:
        whole = DeleteSnapshot(self.vm.uuid, self._names, subtree=True)
        return bool(self._descendants()) and isinstance(plan(self.vm, whole), Plan)


def boxes_around(
    tree: SnapshotTree, name: str, *, merges: bool
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Return the boxes of the picture: a snapshot with its parent and its first child."""
    parent = tree.parent(name)
    children = tree.children(name)
    before = (Box(tree[parent].label),) if parent else ()
    after = (Box(tree[children[0]].label),) if children else ()
    now = (*before, Box(tree[name].label, is_marked=True), *after)
    gone = () if merges else (Box(tree[name].label, is_gone=True),)
    kept = tuple(Box(box.text, is_marked=merges) for box in after)
    return now, (*before, *gone, *kept)
