"""Plans that are answered when the test says so."""

from collections import Counter
from dataclasses import dataclass, field

from snapview.core.operations import Operation
from snapview.core.planning import plan
from snapview.core.vm import Vm
from snapview.session import Answer, TakeBack


@dataclass
class Questions:
    """Who asks for a plan, and what; answered in order."""

    count: Counter[Operation] = field(default_factory=Counter)
    open: list[tuple[Vm, Operation, Answer]] = field(default_factory=list)

    def ask(self, vm: Vm, operation: Operation, then: Answer) -> TakeBack:
        self.count[operation] += 1
        question = (vm, operation, then)
        self.open.append(question)
        return lambda: self.open.remove(question)

    def answer(self) -> None:
        """Answer what is open, and what is asked on that account."""
        while self.open:
            vm, operation, then = self.open.pop(0)
            then(plan(vm, operation))
