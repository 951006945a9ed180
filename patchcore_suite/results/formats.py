"""Words that tables and sentences share."""

NOT_AVAILABLE, WEIGHTS_MISSING, NOTHING = "not available", "weights missing", "-"
NOT_RUN, NOT_SHOWN, QUOTED = "not run", "synthetic: not shown", "quoted"
NOT_SET = {"dimension": "native", "projection_dimension": "none", "crop": "none"}  # what None means in a table
INTERVAL = "interval (95 %)"  # a column
HEADINGS = {
    "image_auroc": "image AUROC",
    "image_auroc_reweighted": "image AUROC, Eq. 7",
    "pixel_auroc": "pixel AUROC",
    "pro": "PRO",
    "pro_per_image": "PRO per image",
    "f1": "F1",
    "bank_utilisation": "bank utilisation",
}  # of shares, which a table shows in percent; other metrics are shown as they are


def label(value: object, name: str) -> str:
    """A setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value != value:  # NaN, which stands for None in a column of numbers
        return NOT_SET.get(name, NOTHING)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
