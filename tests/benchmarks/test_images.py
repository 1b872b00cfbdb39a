"""Who needs which bytes of a large image with 20 snapshots, against reading its tables once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from snapview.images.qcow2 import Qcow2
from snapview.images.source import FileSource
from snapview.images.usage import Usage, usage_of
from tests.benchmarks.duel import Duel, seconds_of
from tests.images.synthetic import CLUSTER, make

ROUNDS = 9
MOST_BYTES = 600 << 20

_PEAK = """\
import sys
from pathlib import Path
from snapview.images.qcow2 import Qcow2
from snapview.images.source import FileSource
from snapview.images.usage import usage_of
with FileSource(sys.argv[1]) as source:
    usage_of(Qcow2(source))
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def read_tables(path: Path, offsets: list[int]) -> None:
    """Read the tables as they lie in the file, one after another, into arrays of numbers."""
    file = os.open(path, os.O_RDONLY)
    try:
        for offset in offsets:
            np.frombuffer(os.pread(file, CLUSTER, offset), ">u8").astype(np.uint64)
    finally:
        os.close(file)


# Where the data lie close together, there are few tables for as many clusters to tell apart.
@pytest.mark.parametrize(("span_gib", "bar"), [(1024, 2.0), (128, 3.0)], ids=["scattered", "dense"])
def test_usage(
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
    tmp_path: Path,
    span_gib: int,
    bar: float,
) -> None:
    path = tmp_path / "large.qcow2"
    image = make(path, size_gib=1024, allocated_gib=64, span_gib=span_gib, snapshots=20)
    offsets = sorted(cluster * CLUSTER for cluster in image.tables)
    del image
    found: list[Usage] = []

    def ours() -> None:
        with FileSource(path) as source:
            found[:] = [usage_of(Qcow2(source))]

    duel = Duel(lambda: seconds_of(lambda: read_tables(path, offsets)), lambda: seconds_of(ours))
    duel.run(1)  # to warm up
    duel = Duel(duel.floor, duel.ours)
    benchmark.pedantic(duel.run, args=(ROUNDS,), rounds=1)  # type: ignore[no-untyped-call] # no types
    report(f"{len(offsets)} tables: {duel}")
    assert len(found[0].snapshots) == 20
    assert all(found[0].exclusive_bytes(state) > 0 for state in range(21))
    command = [sys.executable, "-c", _PEAK, str(path)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    report(f"at most {peak >> 20} MiB of memory")
    assert peak <= MOST_BYTES
    if len(duel.our_seconds) < ROUNDS:
        pytest.skip("other programs kept the machine busy")
    benchmark.extra_info["ratio"] = duel.ratio
    assert duel.ratio <= bar
