"""Frozen ImageNet networks that turn images into feature maps, by name and hierarchy."""

from patchcore_core.backbones.architectures import check_hierarchies as check_hierarchies
from patchcore_core.backbones.networks import Backbone as Backbone
from patchcore_core.backbones.networks import backbone_weights as backbone_weights
from patchcore_core.backbones.networks import feature_maps as feature_maps
from patchcore_core.backbones.networks import load_backbone as load_backbone
from patchcore_core.backbones.networks import map_shapes as map_shapes
from patchcore_core.backbones.weights import Weights as Weights
from patchcore_core.backbones.weights import WeightsMissing as WeightsMissing
from patchcore_core.config import PIXELS as PIXELS
from patchcore_core.config import UNTRAINED as UNTRAINED
