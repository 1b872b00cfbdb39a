"""The real window in a process of its own, which says where things are but does nothing itself.

Started by ``tests.e2e.desktop`` on a virtual display. Every line on standard input is a question,
every line on standard output its answer as JSON; mouse and keys come from the X server only.
"""

import json
import sys

from platformdirs import user_data_path, user_state_path
from PySide6.QtCore import QModelIndex, QPoint, QRect, QSocketNotifier, Qt, QTimer
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLabel,
    QMenu,
    QTableView,
    QWidget,
)

from snapview.application import make_application
from snapview.history import History
from snapview.journal import FileJournal
from snapview.session import Session
from snapview.settings import Settings
from snapview.ui.main_window import MainWindow
from snapview.ui.theme import apply_style
from snapview.virt.host import LibvirtHost


class Guide:
    """Answers questions about what is on the screen. GUI thread."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window

    def answer(self, question: str) -> object:
        verb, _, rest = question.partition(" ")
        return getattr(self, f"ask_{verb}")(rest)

    def ask_front(self, _rest: str) -> str:
        """The title of the window in front."""
        return self._front().windowTitle()

    def ask_button(self, text: str) -> list[int] | None:
        """The middle of the button with that text, in the window in front."""
        for each in self._front().findChildren(QAbstractButton):
            words = each.text().replace("&", "").rstrip("…")
            if each.isVisible() and words == text:
                return _middle(each, each.rect())
        return None

    def ask_item(self, text: str) -> list[int] | None:
        """The middle of the entry of an open menu."""
        for menu in QApplication.topLevelWidgets():
            if isinstance(menu, QMenu) and menu.isVisible():
                for action in menu.actions():
                    if action.text().replace("&", "").rstrip("…") == text:
                        return _middle(menu, menu.actionGeometry(action))
        return None

    def ask_row(self, text: str) -> list[int] | None:
        """The middle of the row with that text, in sidebar or tree."""
        for view in self._window.findChildren(QAbstractItemView):
            index = _find(view, text)
            if view.isVisible() and index is not None:
                return _middle(view.viewport(), view.visualRect(index))
        return None

    def ask_rows(self, _rest: str) -> list[str]:
        """The names in the tree, top to bottom."""
        tree = self._window.stage.vm_page.tree
        model = tree.model()
        return [str(model.index(row, 0).data()) for row in range(model.rowCount())]

    def ask_selected(self, _rest: str) -> list[str]:
        """The names of the rows selected in the tree."""
        tree = self._window.stage.vm_page.tree
        return [str(index.data()) for index in tree.selectionModel().selectedRows(0)]

    def ask_words(self, _rest: str) -> list[str]:
        """What the labels of the window in front say."""
        labels = self._front().findChildren(QLabel)
        return [label.text().replace("\u200b", "") for label in labels if label.isVisible()]

    def ask_jobs(self, _rest: str) -> list[str]:
        """What the strip says."""
        labels = self._window.jobs_strip.findChildren(QLabel)
        return [label.text() for label in labels if label.isVisible()]

    def ask_table(self, _rest: str) -> list[list[str]]:
        """The rows of the table in the window in front."""
        tables = self._front().findChildren(QTableView)
        model = next(each.model() for each in tables if each.isVisible())
        columns = range(model.columnCount())
        rows = range(model.rowCount())
        return [[str(model.index(row, column).data()) for column in columns] for row in rows]

    def ask_banner(self, _rest: str) -> str:
        """What the banner about others' work says."""
        banner = self._window.stage.work_banner
        return banner.text() if banner.isVisible() else ""

    def ask_grab(self, path: str) -> bool:
        """Save a picture of the whole screen, as a person sees it."""
        picture = self._window.screen().grabWindow(0)
        return bool(picture.save(path))

    def ask_quit(self, _rest: str) -> bool:
        QTimer.singleShot(0, self._window.close)
        return True

    def _front(self) -> QWidget:
        modal = QApplication.activeModalWidget()
        return modal if modal is not None else self._window


def _middle(widget: QWidget, rect: QRect) -> list[int]:
    at: QPoint = widget.mapToGlobal(rect.center())
    return [at.x(), at.y()]


def _find(view: QAbstractItemView, text: str) -> QModelIndex | None:
    model = view.model()
    waiting = [model.index(row, 0) for row in range(model.rowCount())]
    for index in waiting:
        if str(index.data()) == text:
            return index
        waiting.extend(model.index(row, 0, index) for row in range(model.rowCount(index)))
    return None


def main() -> None:
    app = make_application()
    if "--dark" in sys.argv:
        apply_style(app, Qt.ColorScheme.Dark)
    journal = FileJournal(user_state_path("snapview") / "journal")
    history = History(user_data_path("snapview") / "history.sqlite")
    session = Session(lambda uri: LibvirtHost(uri, journal), history=history)
    settings = Settings.load()
    window = MainWindow(session, settings, Settings.save)
    session.open(sys.argv[1])
    guide = Guide(window)

    def on_question() -> None:
        question = sys.stdin.readline()
        if not question:
            window.close()
            return
        sys.stdout.write(json.dumps(guide.answer(question.rstrip("\n"))) + "\n")
        sys.stdout.flush()

    notifier = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(on_question)
    window.show()
    app.exec()
    session.close()


if __name__ == "__main__":
    main()
