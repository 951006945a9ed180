"""Pages from the templates of this room."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from patchcore_suite.report.links import address


def render(template: str, **values: object) -> str:
    """A page as HTML; whatever a value holds is text there, not markup."""
    environment = Environment(
        loader=PackageLoader("patchcore_suite.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = address
    return environment.get_template(template).render(**values)
