"""Computing: datasets are prepared, cells become raw results, raw results become metrics."""

import sys

# jsonschema can do without: it compiles a grammar for a second, to check addresses that notebooks do not have.
sys.modules.setdefault("rfc3987_syntax", None)
