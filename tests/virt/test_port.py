"""The numbers of libvirt's interface that the port uses without importing libvirt."""

import libvirt

from snapview.core.operations import Afterwards
from snapview.virt import port


def test_the_flags_are_libvirts() -> None:
    for flag in port.CreateFlag:
        assert flag == getattr(libvirt, f"VIR_DOMAIN_SNAPSHOT_CREATE_{flag.name}")
    assert port.XML_SECURE == libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
    assert port.REVERT_FLAGS == {
        Afterwards.AS_IT_WAS: 0,
        Afterwards.RUNNING: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
        Afterwards.PAUSED: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
    }
