"""The table of actions."""

import pytest
from PySide6.QtGui import QKeySequence

from snapview.ui.actions import ACTIONS, ActionId, ActionSpec
from snapview.ui.icons import icon_names

pytestmark = pytest.mark.usefixtures("qapp")
BY_ID = {spec.id: spec for spec in ACTIONS}


def test_every_action_is_declared_once() -> None:
    assert len(ACTIONS) == len(BY_ID) == len(ActionId)


@pytest.mark.parametrize("spec", ACTIONS, ids=lambda spec: spec.id.value)
def test_every_action_is_complete(spec: ActionSpec) -> None:
    assert spec.text
    assert spec.tooltip
    assert spec.icon in icon_names()
    if spec.shortcut:
        assert QKeySequence(spec.shortcut).toString() == spec.shortcut


def test_no_two_actions_share_a_key() -> None:
    keys = [spec.shortcut for spec in ACTIONS if spec.shortcut]
    assert len(keys) == len(set(keys))
