"""One page with every table and figure, and the page of measured results."""
