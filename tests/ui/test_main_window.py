"""The window as it is used: clicks and keys, and hosts that change underneath."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit

from snapview.core.errors import HostError, NotInstalled, NotPermitted
from snapview.core.operations import CreateSnapshot, DeleteSnapshot, EndBlockJob
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.core.vm import RunState
from snapview.session import ConnectionState, JobState
from snapview.settings import Settings
from snapview.ui.actions import ActionId
from snapview.ui.dialogs.add_connection import AddConnectionDialog
from snapview.ui.dialogs.consolidate import ConsolidateDialog
from snapview.ui.dialogs.describe import DescribeDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from snapview.ui.dialogs.under_way import EndJobDialog
from snapview.ui.job_row import JobRow
from snapview.ui.theme import apply_style
from tests.conftest import AllowLog
from tests.fakes import FakeWorld
from tests.trees import branching_tree, linear_tree, make_vm, vm_uuid
from tests.ui.conftest import OpenWindow
from tests.ui.dialogs.worlds import line_of_externals
from tests.ui.windows import ONE, TWO, Shown, button_of, click, says


@pytest.fixture
def web(open_window: OpenWindow) -> Shown:
    shown = open_window(FakeWorld(make_vm("web", branching_tree()), make_vm("db", linear_tree(2))))
    shown.choose("web")
    return shown


def _row(shown: Shown) -> JobRow:
    shown.wait(lambda: shown.session.jobs)
    row = shown.window.jobs_strip.row_of(shown.session.jobs[-1].id)
    assert row is not None
    return row


def test_first_vm_is_shown_by_itself(open_window: OpenWindow) -> None:
    shown = open_window(FakeWorld(make_vm("web", branching_tree()), make_vm("db", linear_tree(2))))
    shown.wait_for_tree("db")
    assert shown.names() == ["s0", "s1", None]


def test_taking_a_snapshot_shows_it(web: Shown) -> None:
    web.click_button(web.window.top_bar, "Take snapshot")
    dialog = web.dialog()
    assert isinstance(dialog, TakeSnapshotDialog)
    web.wait(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
    QTest.keyClicks(dialog.name, "before nginx 1.30")
    assert says(dialog, "You can get back")
    click(dialog.go_button)
    web.wait(lambda: "before-nginx-1.30" in web.names())
    assert web.world.vm(vm_uuid("web")).tree.current == "before-nginx-1.30"
    web.wait(lambda: web.window.stage.vm_page.tree.current_name == "before-nginx-1.30")
    web.wait(lambda: web.session.jobs[-1].state is JobState.DONE)
    web.click_button(_row(web), "Undo")
    web.wait(lambda: "before-nginx-1.30" not in web.names())


def test_reverting_by_keys(web: Shown) -> None:
    web.click_row("updated")
    web.press(Qt.Key.Key_R, control=True)
    dialog = web.dialog()
    assert isinstance(dialog, RevertDialog)
    assert says(dialog, "Kept")
    QTest.keyClick(dialog.go_button, Qt.Key.Key_Return)
    web.wait(lambda: web.world.vm(vm_uuid("web")).tree.current == "updated")
    assert any("before revert to" in s.label for s in web.world.vm(vm_uuid("web")).tree)


def test_deleting_can_be_undone_before_it_begins(web: Shown) -> None:
    web.click_row("caddy-tls")
    web.press(Qt.Key.Key_Delete)
    dialog = web.dialog()
    assert isinstance(dialog, RemoveDialog)
    click(dialog.go_button)
    row = _row(web)
    assert row.job.state is JobState.WAITING
    assert says(row, "nothing has been touched yet")
    web.click_button(row, "Undo")
    web.wait(lambda: web.session.jobs[-1].state is JobState.CANCELLED)
    assert "caddy-tls" in web.world.vm(vm_uuid("web")).tree


def test_deleting_happens_after_the_grace_period(open_window: OpenWindow, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "s.json")
    settings.delete_grace_seconds = 0
    shown = open_window(FakeWorld(make_vm("web", branching_tree())), settings=settings)
    shown.wait_for_tree("web")
    shown.click_row("caddy-tls")
    shown.press(Qt.Key.Key_Delete)
    shown.click_button(shown.dialog(), "Discard")
    shown.wait(lambda: "caddy-tls" not in shown.names())
    assert shown.window.stage.vm_page.tree.current_name == "try-caddy"


def test_description_is_edited_with_f2(web: Shown) -> None:
    web.click_row("updated")
    web.press(Qt.Key.Key_F2)
    dialog = web.dialog()
    assert isinstance(dialog, DescribeDialog)
    web.wait(dialog.description.hasFocus)
    QTest.keyClicks(dialog.description, "Really: ")
    web.click_button(dialog, "Save")
    web.wait(lambda: "Really: " in web.world.vm(vm_uuid("web")).tree["updated"].description)


def test_merge_and_discard_are_never_enabled_together(web: Shown) -> None:
    actions = web.window.action_set
    for name in ("installed", "caddy-tls", "tuned", ""):
        web.click_row(name)
        web.settle()
        both = actions[ActionId.MERGE].isEnabled(), actions[ActionId.DISCARD].isEnabled()
        assert both in {(False, True), (True, False), (False, False)}
        assert any(both) == bool(name)


def test_disabled_actions_say_why(web: Shown) -> None:
    web.click_row("")
    web.settle()
    action = web.window.action_set[ActionId.REVERT]
    assert not action.isEnabled()
    assert "Select one snapshot first." in action.toolTip()


def test_copying_names(web: Shown) -> None:
    web.click_row("updated")
    web.window.action_set[ActionId.COPY_NAME].trigger()
    assert QApplication.clipboard().text() == "updated"


def test_search_finds_and_leaves(web: Shown) -> None:
    web.press(Qt.Key.Key_F, control=True)
    search = web.window.top_bar.search
    assert search.hasFocus()
    QTest.keyClicks(search, "caddy")
    assert web.window.stage.vm_page.tree.current_name == "try-caddy"
    QTest.keyClick(search, Qt.Key.Key_Return)
    assert web.window.stage.vm_page.tree.current_name == "caddy-tls"
    QTest.keyClick(search, Qt.Key.Key_Escape)
    assert search.text() == ""
    assert web.window.stage.vm_page.tree.hasFocus()


def test_f6_goes_round_the_panes(web: Shown) -> None:
    web.window.vm_list.view.setFocus()
    seen = []
    for _ in range(4):
        web.press(Qt.Key.Key_F6)
        seen.append(QApplication.focusWidget())
    assert seen[0] is web.window.stage.vm_page.tree
    assert seen[3] is web.window.vm_list.view
    assert len(set(map(id, seen))) == 4


def test_f6_reaches_the_strip_and_the_banner(open_window: OpenWindow) -> None:
    busy = replace(make_vm("web", branching_tree()), block_jobs=(BlockJob("vda"),))
    shown = open_window(FakeWorld(busy))
    shown.wait_for_tree("web")
    shown.wait(shown.window.stage.work_banner.isVisible)
    delete = DeleteSnapshot(vm_uuid("web"), ("tuned",))
    shown.session.submit(shown.key("web"), delete, grace_seconds=60)
    shown.wait(shown.window.jobs_strip.isVisible)
    shown.window.vm_list.view.setFocus()
    seen: list[str] = []
    for _ in range(6):
        shown.press(Qt.Key.Key_F6)
        focused = QApplication.focusWidget()
        if isinstance(focused, QAbstractButton):
            seen.append(focused.text())
    assert seen == ["Undo", "Abort…"]
    assert shown.window.vm_list.view.hasFocus()


def test_what_is_under_way_elsewhere_is_settled_from_its_banner(open_window: OpenWindow) -> None:
    ready = BlockJob("vda", BlockJobType.COPY, 1, 1, is_ready=True)
    shown = open_window(FakeWorld(replace(make_vm("web"), block_jobs=(ready,))))
    shown.wait_for_tree("web")
    banner = shown.window.stage.work_banner
    shown.wait(banner.isVisible)
    button_of(banner, "Abort").setFocus()
    shown.click_button(banner, "Abort")
    dialog = shown.dialog()
    assert isinstance(dialog, EndJobDialog)
    assert dialog.operation() == EndBlockJob(vm_uuid("web"), "vda", finish=False)
    click(dialog.go_button)
    shown.wait(lambda: shown.world.vm(vm_uuid("web")).block_jobs == ())
    shown.wait(lambda: shown.session.jobs[-1].state is JobState.DONE)
    assert not banner.isVisible()
    assert shown.window.focusWidget() is shown.window.stage.vm_page.tree


def test_the_chain_is_merged_by_its_key(open_window: OpenWindow, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "s.json")
    settings.delete_grace_seconds = 0
    settings.merge_mib_per_second = 50
    world = FakeWorld(line_of_externals())
    shown = open_window(world, settings=settings)
    shown.wait_for_tree("web")
    shown.settle()
    shown.window.stage.vm_page.tree.setFocus()
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(shown.window.stage.vm_page.tree, Qt.Key.Key_M, modifiers)
    dialog = shown.dialog()
    assert isinstance(dialog, ConsolidateDialog)
    assert dialog.operation().bandwidth_bytes_per_second == 50 << 20
    shown.wait(dialog.go_button.isEnabled)
    click(dialog.go_button)
    shown.wait(lambda: shown.names() == [None])
    assert [disk.depth for disk in world.vm(vm_uuid("web")).state_disks] == [0, 0]
    shown.wait(lambda: shown.session.jobs[-1].state is JobState.DONE)


def test_links_in_the_details_select(web: Shown) -> None:
    web.click_row("updated")
    detail = web.window.stage.vm_page.detail
    web.click_button(detail, "installed")
    assert web.window.stage.vm_page.tree.current_name == "installed"


def test_hardware_then_and_now(web: Shown) -> None:
    web.click_row("updated")
    detail = web.window.stage.vm_page.detail
    web.wait(lambda: says(detail, "Hardware at that time"))
    assert says(detail, "2 vCPU")


def test_newest_first_is_remembered(web: Shown) -> None:
    web.window.action_set[ActionId.NEWEST_FIRST].trigger()
    assert web.names()[0] is None
    web.wait(lambda: web.saved)
    assert web.saved[-1].newest_first


def test_vm_deleted_under_the_window(web: Shown) -> None:
    web.world.undefine(vm_uuid("web"))
    page = web.window.stage.page
    web.wait(lambda: page.isVisible() and says(page, "“web” is gone"))
    web.settle()
    assert not web.window.action_set[ActionId.TAKE].isEnabled()
    assert web.window.vm_list.current() is None
    web.choose("db")


def test_vm_deleted_under_an_open_dialog(web: Shown) -> None:
    web.click_row("updated")
    web.press(Qt.Key.Key_R, control=True)
    web.dialog()
    web.world.undefine(vm_uuid("web"))
    web.wait(lambda: web.window.dialogs.open_dialog is None)
    assert "was removed by another program" in web.window.stage.banner.text()


def test_snapshot_deleted_under_an_open_dialog(web: Shown) -> None:
    web.click_row("caddy-tls")
    web.press(Qt.Key.Key_R, control=True)
    dialog = web.dialog()
    assert isinstance(dialog, RevertDialog)
    web.world.act(DeleteSnapshot(vm_uuid("web"), ("caddy-tls",)))
    web.wait(lambda: not dialog.go_button.isEnabled())
    assert says(dialog, "has no snapshot called")


def test_other_clients_snapshots_appear(web: Shown) -> None:
    web.world.act(CreateSnapshot(vm_uuid("web"), "by-virsh"))
    web.wait(lambda: "by-virsh" in web.names())


def test_lost_connection_shows_what_was_read(web: Shown) -> None:
    web.world.go_down()
    banner = web.window.stage.banner
    web.wait(banner.isVisible)
    web.settle()
    assert "Connection lost" in banner.text()
    assert "updated" in web.names()
    assert not web.window.action_set[ActionId.TAKE].isEnabled()
    web.world.come_up()
    web.wait(lambda: not banner.isVisible())
    web.settle()
    assert web.window.action_set[ActionId.TAKE].isEnabled()


def test_failed_job_stays_until_dismissed(web: Shown) -> None:
    error = HostError("The disk is full.", advice="Free some space.", detail="ENOSPC")
    web.world.fail_next(CreateSnapshot, error)
    web.click_button(web.window.top_bar, "Take snapshot")
    web.click_button(web.dialog(), "Take snapshot")
    row = _row(web)
    web.wait(lambda: says(row, "The disk is full."))
    web.click_button(row, "Details")
    dialog = web.dialog()
    assert says(dialog, "Free some space.")
    dialog.close()
    web.click_button(row, "Dismiss")
    web.wait(lambda: not web.window.jobs_strip.isVisible())


def test_running_job_shows_progress_and_is_cancelled(web: Shown) -> None:
    web.world.hold_jobs()
    web.click_button(web.window.top_bar, "Take snapshot")
    web.click_button(web.dialog(), "Take snapshot")
    row = _row(web)
    web.world.step_jobs()
    web.wait(lambda: says(row, "25 %"))
    web.click_button(row, "Cancel")
    web.wait(lambda: web.session.jobs[-1].state is JobState.CANCELLED)


def test_unreadable_vm_says_so(open_window: OpenWindow) -> None:
    world = FakeWorld(make_vm("web", branching_tree()))
    world.read_errors[vm_uuid("web")] = HostError("libvirt is confused.", detail="word for word")
    shown = open_window(world)
    page = shown.window.stage.page
    shown.wait(lambda: says(page, "“web” cannot be read"))
    world.read_errors.clear()
    shown.click_button(page, "Try again")
    shown.wait_for_tree("web")


def test_problem_of_a_vm_is_a_banner(open_window: OpenWindow) -> None:
    vm = replace(make_vm("web"), problem="Its snapshots cannot be listed.")
    shown = open_window(FakeWorld(vm))
    shown.wait_for_tree("web")
    assert shown.window.stage.banner.text() == "Its snapshots cannot be listed."


def test_fresh_vm_invites(open_window: OpenWindow) -> None:
    shown = open_window(FakeWorld(make_vm("web")))
    shown.wait_for_tree("web")
    hint = shown.window.stage.vm_page.hint
    assert hint.isVisible()
    click(hint.take)
    shown.click_button(shown.dialog(), "Take snapshot")
    shown.wait(lambda: len(shown.names()) == 2)
    assert not hint.isVisible()


def test_no_permission_page(open_window: OpenWindow) -> None:
    world = FakeWorld(make_vm("web"))
    world.connect_error = NotPermitted("No.", detail="access denied by policy")
    shown = open_window({ONE: world, "qemu:///session": FakeWorld(make_vm("own"))})
    page = shown.window.stage.page
    shown.window.vm_list.select_connection(ONE)
    shown.wait(lambda: says(page, "The system’s VMs are locked"))
    shown.click_button(page, "Copy")
    assert "usermod -aG libvirt" in QApplication.clipboard().text()
    world.connect_error = None
    shown.click_button(page, "Try again")
    shown.wait_for_tree("web")


def test_not_installed_page(open_window: OpenWindow) -> None:
    world = FakeWorld()
    world.connect_error = NotInstalled("There is none.")
    shown = open_window(world)
    shown.wait(lambda: says(shown.window.stage.page, "There is no libvirt here yet"))


def test_demo_lab_is_made_on_another_thread(open_window: OpenWindow) -> None:
    made_on: list[threading.Thread] = []

    def make_demo() -> str:
        made_on.append(threading.current_thread())
        return TWO

    worlds = {ONE: FakeWorld(), TWO: FakeWorld(make_vm("demo-web", branching_tree()))}
    shown = open_window(worlds, make_demo=make_demo)
    shown.session.remove_connection(TWO)
    shown.window.vm_list.select_connection(ONE)
    page = shown.window.stage.page
    shown.wait(lambda: says(page, "No virtual machines yet"))
    shown.click_button(page, "Make the demo lab")
    shown.wait_for_tree("demo-web")
    assert made_on[0] is not threading.main_thread()
    assert TWO in shown.saved[-1].connections


def test_failed_demo_lab_says_why(open_window: OpenWindow) -> None:
    def make_demo() -> str:
        raise HostError("There is no QEMU here.")

    shown = open_window(FakeWorld(), make_demo=make_demo)
    page = shown.window.stage.page
    shown.wait(lambda: says(page, "No virtual machines yet"))
    shown.click_button(page, "Make the demo lab")
    assert says(shown.dialog(), "There is no QEMU here.")
    assert button_of(page, "Make the demo lab").isEnabled()


def test_adding_a_connection(open_window: OpenWindow) -> None:
    worlds = {ONE: FakeWorld(make_vm("web")), TWO: FakeWorld(make_vm("mail", linear_tree(2)))}
    shown = open_window(worlds)
    shown.session.remove_connection(TWO)
    click(shown.window.vm_list.add_button)
    dialog = shown.dialog()
    assert isinstance(dialog, AddConnectionDialog)
    click(dialog.custom)
    dialog.custom.setChecked(True)
    QTest.keyClicks(dialog.uri_field, TWO)
    click(dialog.go_button)
    shown.wait_for_tree("mail")


def test_removing_the_shown_connection(web: Shown) -> None:
    web.window.action_set[ActionId.REMOVE_CONNECTION].trigger()
    web.wait(lambda: says(web.window.stage.page, "No connection yet"))
    assert web.window.vm_list.model.rowCount() == 0


def test_window_is_remembered(web: Shown) -> None:
    web.window.resize(1000, 640)
    web.window.close()
    web.wait(lambda: web.saved)
    assert web.saved[-1].window_geometry
    assert len(web.saved[-1].splitter_sizes) == 4
    assert web.saved[-1].tree_columns


def test_window_comes_back_as_it_was(
    open_window: OpenWindow, tmp_path: Path, allow_log: AllowLog
) -> None:
    allow_log("column widths cannot be read")
    settings = Settings(tmp_path / "s.json")
    settings.splitter_sizes = (300, 980, 500, 480)
    settings.newest_first = True
    settings.window_geometry = "not base64 at all"
    settings.tree_columns = "nonsense"
    shown = open_window(FakeWorld(make_vm("web", branching_tree())), settings=settings)
    shown.wait_for_tree("web")
    assert shown.names()[0] is None
    assert shown.window.vm_list.width() == pytest.approx(300, abs=20)


def test_closing_asks_while_something_waits(web: Shown) -> None:
    web.session.submit(web.key("web"), DeleteSnapshot(vm_uuid("web"), ("tuned",)), grace_seconds=60)
    web.window.close()
    dialog = web.dialog()
    assert web.window.isVisible()
    web.click_button(dialog, "Keep open")
    assert web.window.isVisible()
    web.window.close()
    web.click_button(web.dialog(), "Cancel and close")
    web.wait(lambda: not web.window.isVisible())


def test_narrow_window_puts_details_below(web: Shown) -> None:
    web.window.resize(1400, 800)
    assert web.window.stage.vm_page.halves.orientation() == Qt.Orientation.Horizontal
    web.window.resize(1000, 800)
    assert web.window.stage.vm_page.halves.orientation() == Qt.Orientation.Vertical


def test_dark_mode_is_followed_live(web: Shown, qapp: QApplication) -> None:
    apply_style(qapp, Qt.ColorScheme.Light)
    light = web.window.styleSheet()
    apply_style(qapp, Qt.ColorScheme.Dark)
    web.qtbot.waitUntil(lambda: web.window.styleSheet() != light)
    apply_style(qapp, Qt.ColorScheme.Light)


def test_row_menu_has_the_actions(web: Shown) -> None:
    tree = web.window.stage.vm_page.tree
    tree.setFocus()
    QTest.keyClick(tree, Qt.Key.Key_Menu)
    place = tree.visualRect(tree.currentIndex()).center()
    tree.menu_requested.emit(tree.viewport().mapToGlobal(place))
    menu = QApplication.activePopupWidget()
    assert menu is not None
    assert web.window.action_set[ActionId.REVERT] in menu.actions()
    menu.close()


def test_enter_on_a_row_offers_to_revert(web: Shown) -> None:
    web.click_row("updated")
    web.press(Qt.Key.Key_Return)
    assert isinstance(web.dialog(), RevertDialog)


def test_vm_that_goes_off_is_shown_so(web: Shown) -> None:
    off = replace(web.world.vm(vm_uuid("web")), run_state=RunState.SHUTOFF)
    web.world.define(off)
    view = web.window.stage
    web.wait(lambda: view.view is not None and view.view.vm.run_state is RunState.SHUTOFF)
    assert web.session.connections[0].state is ConnectionState.CONNECTED
