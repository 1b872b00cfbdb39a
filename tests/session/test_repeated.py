from snapview.session.repeated import Repeated


class Reads:
    """Counts how often a read began; ``told`` is who was called back."""

    def __init__(self) -> None:
        self.begun = 0
        self.told: list[str] = []
        self.repeated = Repeated(self._begin)

    def _begin(self) -> None:
        self.begun += 1

    def want(self, name: str) -> None:
        self.repeated.want(lambda: self.told.append(name))


def test_wishes_during_a_read_are_served_by_one_more() -> None:
    reads = Reads()
    reads.want("first")
    reads.want("second")
    reads.want("third")
    assert reads.begun == 1
    reads.repeated.settle()
    assert reads.told == ["first"], "the others' wish is younger than that read"
    assert reads.begun == 2
    reads.repeated.settle()
    assert reads.told == ["first", "second", "third"]
    assert reads.begun == 2
    assert not reads.repeated.is_busy


def test_a_wish_without_a_callback_counts_too() -> None:
    reads = Reads()
    reads.repeated.want()
    reads.repeated.want()
    reads.repeated.settle()
    assert reads.begun == 2


def test_who_is_called_back_may_wish_again() -> None:
    reads = Reads()
    reads.repeated.want(lambda: reads.want("again"))
    reads.want("waiting")
    reads.repeated.settle()
    assert reads.begun == 2
    reads.repeated.settle()
    assert reads.told == ["waiting"]
    assert reads.begun == 3
    reads.repeated.settle()
    assert reads.told == ["waiting", "again"]
