"""Words that tables and sentences share."""

from patchcore_suite.run.metric_registry import METRICS

NOT_AVAILABLE, WEIGHTS_MISSING, NOTHING = "not available", "weights missing", "-"
NOT_RUN, NOT_SHOWN, QUOTED = "not run", "synthetic: not shown", "quoted"
NOT_SET = {"dimension": "native", "projection_dimension": "none", "crop": "none"}  # what None means in a table
INTERVAL = "interval (95 %)"  # a column
# Of shares, which a table shows in percent; other metrics are shown as they are.
HEADINGS = {metric.name: metric.heading for metric in METRICS.values() if metric.share}


def label(value: object, name: str) -> str:
    """A setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value != value:  # NaN, which stands for None in a column of numbers
        return NOT_SET.get(name, NOTHING)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
