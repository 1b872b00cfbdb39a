"""The floor of loading a VM: libvirt's calls alone, one after the other, in a bare process.

Arguments: URI and UUID. For each line on stdin, lists the VM's snapshots and fetches the XML of
each, and prints the seconds that took. There is no event loop here, which would slow the calls.
"""

import gc
import sys
import time

import libvirt


def main(uri: str, uuid: str) -> None:
    """Answer until stdin ends."""
    connection = libvirt.open(uri)
    vm = connection.lookupByUUIDString(uuid)
    for _line in sys.stdin:
        gc.collect()
        start = time.perf_counter()
        for snapshot in vm.listAllSnapshots(0):
            snapshot.getXMLDesc(0)
        sys.stdout.write(f"{time.perf_counter() - start}\n")
        sys.stdout.flush()
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
