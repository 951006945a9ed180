"""Dropdowns in which a person chooses whose results to look into, and the place where errors are told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets as widgets

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.explore import views
from patchcore_suite.explore.available import keeps_patches, read_index, variants
from patchcore_suite.explore.categories import Category
from patchcore_suite.settings.project import Project

WIDE = {"description_width": "110px"}
HIDDEN, SHOWN = "none", None  # values of a widget's `layout.display`


class CategoryChooser:
    """Dataset, category and variant; what cannot be opened is told below them, with what to run.

    Attributes:
        widget: to be shown.
        category: what is open; None where nothing could be opened.

    Args:
        opened: is called with each category that was opened.
        closed: is called before another one is, and where none can be.
        suits: which variants are offered.
    """

    def __init__(
        self,
        project: Project,
        *,
        opened: Callable[[Category], None],
        closed: Callable[[], None],
        suits: Callable[[PatchCoreConfig], bool] = keeps_patches,
    ) -> None:
        self.category: Category | None = None
        self._project, self._opened, self._closed, self._suits = project, opened, closed, suits
        self._busy = False  # while the lists are filled, a choice opens nothing
        self.datasets = widgets.Dropdown(options=list(project.datasets), value=None, description="dataset", style=WIDE)
        self.categories = widgets.Dropdown(description="category", style=WIDE)
        self.variants = widgets.Dropdown(description="variant", style=WIDE)
        self.status = widgets.HTML()
        self.progress = widgets.IntProgress(description="features", style=WIDE, layout={"display": HIDDEN})
        choices = widgets.HBox([self.datasets, self.categories, self.variants], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([choices, self.status, self.progress])
        self.datasets.observe(lambda _: None if self._busy else self.open(self.datasets.value), names="value")
        self.categories.observe(
            lambda _: (
                None if self._busy else self.open(self.datasets.value, self.categories.value, self.variants.value)
            ),
            names="value",
        )
        self.variants.observe(lambda _: None if self._busy else self._open(), names="value")

    def open(self, dataset: str | None, category: str | None = None, variant: str | None = None) -> None:
        """Open a category of a dataset; without a name, or one that is not there, the first."""
        self.category = None
        self._closed()
        self._busy = True
        try:
            with self.telling(self.status):
                self.datasets.value = dataset if dataset in self._project.datasets else None
                self.categories.options = self.variants.options = ()
                chosen = self._project.dataset(str(dataset))  # raises, and names those that there are
                index, manifest = read_index(chosen), chosen.manifest()
                category = category if category in manifest.categories else manifest.categories[0]
                known = variants(index, category, self._project, self._suits)  # a study may have some categories only
                self.categories.options, self.variants.options = manifest.categories, known
                self.categories.value = category
                self.variants.value = variant if variant in known else next(iter(known), None)
                self._open()
        finally:
            self._busy = False

    @contextmanager
    def telling(self, place: widgets.HTML) -> Iterator[None]:
        """Show errors that a user can act on in a widget instead of as a traceback."""
        try:
            yield
        except InputError as error:
            place.value = views.message(error)
        finally:
            self.progress.layout.display = HIDDEN

    def report(self, done: int, total: int) -> None:
        """Show how many training images have been described."""
        self.progress.max, self.progress.value = total, done
        self.progress.layout.display = SHOWN

    def _open(self) -> None:
        self.category = None
        self._closed()
        self.status.value = "<p>reading the results ...</p>"
        with self.telling(self.status):
            name, category, variant = self.datasets.value, self.categories.value, self.variants.value
            if variant is None:
                raise InputError(
                    f"{name} has no results of a variant that can be shown here",
                    remedy=f"add patchcore-10 to datasets.{name}.variants in params.yaml and run `make repro`",
                )
            found = Category.read(self._project.dataset(name), category, variant)
            self._opened(found)
            self.category = found
            self.status.value = (
                f"<p><b>{found.origin}</b>: {len(found.train)} nominal training images, {len(found.test)} test images, "
                f"a memory bank of {len(found.result.coreset_indices)} patches ({found.config.sampler}).</p>"
            )
