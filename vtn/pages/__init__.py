"""HTML pages from templates that stand beside the code that fills them; what is put into a page is escaped."""

from importlib import resources

import jinja2


def _source(name: str) -> str:
    """The text of a template by its package and file, such as `vtn.checking` and `report.html`."""
    package, _, file = name.partition("/")
    return resources.files(package).joinpath(file).read_text(encoding="utf-8")


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FunctionLoader(_source),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(template: str, **values: object) -> str:
    """A page by the name of its template (`package/file`) and its values; a value that is not given is an error."""
    return _TEMPLATES.get_template(template).render(values)
