"""False-positive rates that AUPIMO looks at, and how many pixels it takes to tell them."""

import math

FPR_BOUNDS = (1e-5, 1e-4)  # of the integral, as published


def pixels_needed(bounds: tuple[float, float] = FPR_BOUNDS) -> int:
    """How many pixels nominal images need, all together, so that one of them is no more than the lower rate."""
    return math.ceil(round(1 / bounds[0], 6))
