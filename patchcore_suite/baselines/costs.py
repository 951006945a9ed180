"""What a method costs, as numbers of operations by kind: what configurations say of themselves before anything runs."""

from dataclasses import dataclass, fields

FLOAT = 4  # bytes of a float32

Shape = tuple[int, int, int]  # (c, h, w) of a feature map; (h, w, d) of what is kept of an image


@dataclass(frozen=True)
class Work:
    """Numbers of operations by kind; each kind has a rate of its own on a machine."""

    products: float = 0  # floating-point operations of float32 matrix products
    convolutions: float = 0  # those of convolutions
    grouped: float = 0  # those of convolutions in groups, down to one channel each, which are slower
    solves: float = 0  # those of float64 triangular systems and factorisations, many small ones
    traffic: float = 0  # bytes read or written by everything elementwise
    decoded: float = 0  # pixels of image files
    ranked: float = 0  # pixels of anomaly maps whose metrics are computed

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, item.name) * times for item in fields(self)))

    def seconds(self, rates: "Work") -> float:
        """How long this takes where each kind has such a rate per second, one thing after the other."""
        return sum(getattr(self, item.name) / getattr(rates, item.name) for item in fields(self))


def all_products(rows: int, others: int, d: int) -> Work:
    """All products of two sets of rows; they go into a buffer that is used again, and count as traffic once."""
    return Work(products=2 * rows * others * d, traffic=FLOAT * rows * others)
