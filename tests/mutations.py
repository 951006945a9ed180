"""Files changed in every way, as hypothesis draws it, and what may come of that."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from patchcore_core.common.errors import InputError

Result = TypeVar("Result")

# The same examples on every machine; what tests share on the disk is written anew for each example.
bounded = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Content with some bytes changed, cut out, put in, cut off or exchanged."""
    place = draw(st.integers(0, len(content) - 1))
    match draw(st.sampled_from(["bit", "byte", "cut", "insert", "end", "exchange", "append"])):
        case "bit":
            bit = 1 << draw(st.integers(0, 7))
            return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
        case "byte":
            return content[:place] + draw(st.binary(min_size=1, max_size=4)) + content[place + 1 :]
        case "cut":
            return content[:place] + content[place + draw(st.integers(1, 64)) :]
        case "insert":
            return content[:place] + draw(st.binary(min_size=1, max_size=16)) + content[place:]
        case "end":
            return content[:place]
        case "exchange":
            return content[place:] + content[:place]
        case _:
            return content + draw(st.binary(min_size=1, max_size=16))


def unless_refused(act: Callable[[], Result], *words: object) -> Result | None:
    """What `act` gives; None where it refuses the input by an InputError that holds all `words`."""
    try:
        return act()
    except InputError as error:
        said = str(error)
    assert [word for word in words if str(word) not in said] == []
    assert said.count("Remedy:") <= 1
    return None
