"""SPADE (Cohen & Hoshen, 2020): sub-image anomaly detection with deep pyramid correspondences."""

from collections.abc import Sequence

from torch import Tensor

from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import Prediction
from patchcore_core.neighbours import nearest
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.descriptions import by_hierarchy, check_test, global_mean, pyramid
from patchcore_suite.baselines.nearest_images import GalleryDetector, nearest_images


class Spade(GalleryDetector):
    """Find the nominal images that resemble a test image, then match its pixels with theirs.

    Cohen & Hoshen (2020), section 3.1-3.3. Departs from the paper: distances are plain L2 instead of squared, which
    leaves the neighbours as they are and the order of scores too where K = 1 or kappa = 1.
    """

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Pooled features (n, c) and feature pyramids (n, h, w, d) of a batch.

        Args:
            maps: (n, c_j, h_j, w_j) of the configuration's `map_hierarchies`, finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps_of = by_hierarchy(maps, self.config.map_hierarchies)
        return [
            global_mean(maps_of[self.config.pooled_hierarchy]),
            pyramid([maps_of[j] for j in self.config.hierarchies]),
        ]

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score pooled features (n, c) and pyramids (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, self._nominal)
        (pooled, pyramids), (nominal_pooled, gallery) = test, self._nominal
        scores, images = nearest_images(pooled, nominal_pooled, self.config.neighbour_images)
        distances = pyramids.new_empty(pyramids.shape[:3])
        # Images that resemble the same nominal ones, as all do where there are no more than K, share one search.
        galleries, member_of = images.sort(dim=1).values.unique(dim=0, return_inverse=True)
        with progress_bar(len(pyramids), "SPADE correspondences", unit="image", show=self.progress) as bar:
            for number, found in enumerate(galleries):
                alike = (member_of == number).nonzero()[:, 0]
                of_all = len(found) == len(gallery)
                distances[alike] = correspondence_distances(
                    pyramids[alike], gallery if of_all else gallery[found], self.config.neighbour_pixels
                )
                bar.update(len(alike))
        return Prediction(
            scores=scores,
            maps=anomaly_maps(distances, size, sigma=self.config.smoothing_sigma),
            distances=distances,
        )


def correspondence_distances(queries: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Score the pixels of images by their mean distance to the k nearest of all pixels of a gallery.

    Cohen & Hoshen (2020), Eq. 3.

    Args:
        queries: (n, h, w, d) pyramid features of the images.
        gallery: (m, h, w, d) those of the nominal images that resemble them.
        k: kappa; all pixels of the gallery where there are fewer.

    Returns:
        (n, h, w) mean L2 distances.
    """
    bank = gallery.flatten(0, 2)
    distances, _ = nearest(queries.flatten(0, 2), bank, min(k, len(bank)))
    return distances.mean(dim=1).view(queries.shape[:3])
