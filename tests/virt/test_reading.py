"""The numbers behind the words; what is read is tested in test_host and in the contract."""

import libvirt

from snapview.virt.reading import RUN_STATES


def test_every_state_of_libvirt_has_a_word() -> None:
    known = {
        value
        for name, value in vars(libvirt).items()
        if name.startswith("VIR_DOMAIN_") and name.removeprefix("VIR_DOMAIN_") in STATES
    }
    assert known == set(RUN_STATES)
    assert RUN_STATES[libvirt.VIR_DOMAIN_SHUTOFF].value == "shutoff"
    assert RUN_STATES[libvirt.VIR_DOMAIN_PAUSED].value == "paused"
    assert RUN_STATES[libvirt.VIR_DOMAIN_RUNNING].value == "running"
    assert RUN_STATES[libvirt.VIR_DOMAIN_CRASHED].value == "crashed"
    assert RUN_STATES[libvirt.VIR_DOMAIN_PMSUSPENDED].value == "suspended"


STATES = {
    "NOSTATE",
    "RUNNING",
    "BLOCKED",
    "PAUSED",
    "SHUTDOWN",
    "SHUTOFF",
    "CRASHED",
    "PMSUSPENDED",
}
