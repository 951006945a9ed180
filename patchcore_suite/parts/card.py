"""What a saved model says of itself, for people."""

from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from patchcore_suite.parts.model import PartsModel

CARD = """\
# A PatchCore model of one kind of part

Fitted to {{ model.sources | length }} good images, each brought to {{ model.size[0] }} x {{ model.size[1] }} pixels \
(height x width). The memory bank holds {{ bank[0] }} of {{ model.patches }} patch features of {{ bank[1] }} values; \
backbone {{ model.detector.config.backbone }}, seed {{ model.detector.seed }}.

{% if model.tiles %}
Images are seen in tiles of {{ model.tiles.size }} pixels that overlap by {{ model.tiles.overlap }}.

{% endif %}
{% if model.region %}
Only a region of them is looked at: \
{% if model.region.mask is none %}each image needs a mask (`--region FOLDER`){% else %}`region.png`{% endif %}.

{% endif %}
**Threshold {{ "%.4g" | format(model.threshold.value) }}**: {{ model.threshold.rule }}\
{% if model.threshold.low is not none %}, 95 % interval {{ "%.4g" | format(model.threshold.low) }} to \
{{ "%.4g" | format(model.threshold.high) }}{% endif %}.

{% if model.thresholds %}
| threshold | value | chosen by |
|---|---|---|
{% for name, one in model.thresholds.items() %}
| {{ name }} | {{ "%.4g" | format(one.value) }} | {{ one.rule }} |
{% endfor %}

{% endif %}
{% if model.tested %}
| tested | value |
|---|---|
{% for name, value in model.tested.items() %}
| {{ name }} | {{ "%.4g" | format(value) }} |
{% endfor %}

{% endif %}
{% if exported %}
Exported as ONNX, and compared with this model on images:

{{ exported }}

{% endif %}
    patchcore predict THIS-FOLDER IMAGES{{ own }}
    patchcore explain THIS-FOLDER IMAGE{{ own }}

`parts.json` and `model.json` carry the hashes of all files but this page; a model that was changed or damaged is \
refused.
"""


def card(model: "PartsModel", *, exported: str = "") -> str:
    """The page README.md of a model's folder; `exported` says what was found when it was exported, if it was."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    bank = model.detector.memory_bank
    assert bank is not None
    own = " --networks THE-FILE-THAT-GIVES-ITS-BACKBONE" if model.detector.weights is None else ""
    page = environment.from_string(CARD)
    return page.render(model=model, bank=tuple(bank.shape), own=own, exported=exported)
