"""Frozen ImageNet networks that turn images into feature maps, by name and hierarchy."""

from patchcore_core.backbones.architectures import check_hierarchies
from patchcore_core.backbones.networks import (
    Backbone,
    backbone_weights,
    feature_maps,
    load_backbone,
    map_shapes,
)
from patchcore_core.backbones.weights import Weights, WeightsMissing
from patchcore_core.config import PIXELS, UNTRAINED

__all__ = [
    "PIXELS",
    "UNTRAINED",
    "Backbone",
    "Weights",
    "WeightsMissing",
    "backbone_weights",
    "check_hierarchies",
    "feature_maps",
    "load_backbone",
    "map_shapes",
]
