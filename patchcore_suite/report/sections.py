"""What the report shows, in which order, and in which words; `report` puts it together."""

# Tables and figures by the notebook that makes them, in the paper's order.
PAPER_SECTIONS = (
    (
        "00_method",
        "Method: PatchCore on one image",
        ("00_method",),
        (
            "00_feature_maps",
            "00_neighbourhood",
            "00_patch_features",
            "00_coreset",
            "00_covering_radius",
            "00_nearest_patch",
            "00_weight",
            "00_anomaly_map",
        ),
    ),
    (
        "t1_image_auroc",
        "Table 1: image AUROC on MVTec AD",
        ("t1_image_auroc", "s1_image_auroc"),
        ("t1_image_auroc",),
    ),
    (
        "t2_pixel_auroc",
        "Table 2: pixel AUROC on MVTec AD",
        ("t2_pixel_auroc", "s2_pixel_auroc"),
        ("t2_pixel_auroc",),
    ),
    ("t3_pro", "Table 3: PRO on MVTec AD", ("t3_pro", "t3_pro_per_image", "s3_pro"), ("t3_pro",)),
    ("t4_larger_setups", "Table 4: larger images and an ensemble", ("t4_larger_setups",), ("t4_larger_setups",)),
    ("t5_inference_time", "Table 5: inference time", ("t5_accuracy", "t5_recall"), ()),
    ("t6_other_datasets", "Table 6: other datasets", ("t6_other_datasets",), ()),
    (
        "s5_low_shot",
        "Table S5: few nominal images",
        ("s5_low_shot", "s5_low_shot_paper"),
        ("s5_low_shot", "s5_low_shot_maps"),
    ),
    ("s6_backbones", "Table S6: backbones", ("s6_backbones",), ("s6_backbones",)),
    (
        "f3_coreset_vs_random",
        "Figure 3: what a coreset keeps",
        ("f3_covering_radius",),
        ("f3_coreset_vs_random", "f3_covering_radius"),
    ),
    (
        "f4_locality_and_hierarchies",
        "Figure 4: locality and hierarchies",
        ("f4_locality_and_hierarchies", "f4_locality_and_hierarchies_paper"),
        (
            "f4_locality_and_hierarchies_neighbourhood",
            "f4_locality_and_hierarchies_levels",
            "f4_locality_and_hierarchies_stride",
            "f4_locality_and_hierarchies_choices",
        ),
    ),
    ("f5_subsampling", "Figure 5: subsampling", ("f5_subsampling", "f5_subsampling_paper"), ("f5_subsampling",)),
    ("s_resolution", "Resolution: larger images", ("s_resolution",), ("s_resolution",)),
    (
        "s_profiles",
        "Profiles: why code bases disagree",
        ("s_profiles", "s_profiles_steps"),
        (
            "s_profiles_official_image_auroc",
            "s_profiles_official_pixel_auroc",
            "s_profiles_anomalib_image_auroc",
            "s_profiles_anomalib_pixel_auroc",
        ),
    ),
)

# A table and a figure in reports/timings, by section. They differ from run to run and from machine to machine: they are
# shown where they are, and not missed where they are not.
TIMED = {"t5_inference_time": "t5_inference_time"}

# Where each table and figure of the paper stands: its number, what it measures, our tables (the first is linked).
CONTENTS = (
    ("Table 1", "image AUROC, MVTec AD", ("t1_image_auroc",)),
    ("Table 2", "pixel AUROC, MVTec AD", ("t2_pixel_auroc",)),
    ("Table 3", "PRO, MVTec AD", ("t3_pro", "t3_pro_per_image")),
    ("Table 4", "larger images, ensemble", ("t4_larger_setups",)),
    ("Table 5", "inference time and accuracy", ("t5_accuracy", "t5_recall")),
    ("Table 6", "MTD and mSTC", ("t6_other_datasets",)),
    ("Table S1", "image AUROC by category", ("s1_image_auroc",)),
    ("Table S2", "pixel AUROC by category", ("s2_pixel_auroc",)),
    ("Table S3", "PRO by category", ("s3_pro",)),
    ("Table S5", "few nominal images; Figure 6", ("s5_low_shot", "s5_low_shot_paper")),
    ("Table S6", "backbones", ("s6_backbones",)),
    ("Figure 3", "coreset against random sampling", ("f3_covering_radius",)),
    ("Figure 4", "locality and hierarchies", ("f4_locality_and_hierarchies", "f4_locality_and_hierarchies_paper")),
    ("Figure 5", "subsampling", ("f5_subsampling", "f5_subsampling_paper")),
)

# Figures that are worth exploring: many series that hide each other, or values between the lines. The static picture of
# the others says all there is. Each is drawn from a table: its column along the axis, and the column that names the
# series; without one, each further column is a series.
CHARTS = {
    "t1_image_auroc": ("s1_image_auroc", "category", None),
    "t2_pixel_auroc": ("s2_pixel_auroc", "category", None),
    "t3_pro": ("s3_pro", "category", None),
    "f5_subsampling": ("f5_subsampling", "coreset fraction", "sampler"),
    "s5_low_shot": ("s5_low_shot", "nominal images", "variant"),
}

# What a figure shows, for readers who cannot see it; the longest beginning of its name counts.
ALTERNATIVE_TEXTS = {
    "00_feature_maps": "A test image, and the channels of its feature maps that vary most, hierarchy by hierarchy",
    "00_neighbourhood": "One channel of a feature map before and after averaging over the neighbourhood",
    "00_patch_features": "Length of the patch features of the test image and of a nominal one, on the grid",
    "00_coreset": "Nominal images with a dot on each patch that the coreset keeps",
    "00_covering_radius": "Curves: covering radius of the patch features against the number kept, greedy below random",
    "00_nearest_patch": "The test image, the distance of each patch, and the nearest nominal patch in its image",
    "00_weight": "Bars: share of each neighbour of the nearest nominal patch in the sum of Eq. 7",
    "00_anomaly_map": "The test image, its patch distances, and these upsampled and smoothed to the anomaly map",
    "t1_image_auroc": "Bars: image AUROC of each variant by category, with its spread over seeds",
    "t2_pixel_auroc": "Bars: pixel AUROC of each variant by category, with its spread over seeds",
    "t3_pro": "Bars: PRO of each variant by category, with its spread over seeds",
    "t4_larger_setups": "Bars: metrics of single networks at two image sizes and of the ensemble",
    "t5_inference_time": "Stacked bars: milliseconds an image spends in each part, by system and images at a time",
    "s5_low_shot_maps": "Curves: pixel AUROC, PRO and F1 of each method against the number of nominal images",
    "s5_low_shot": "Curves: image AUROC of each method against the number of nominal images",
    "s6_backbones": "Bars: metrics of each backbone",
    "s_resolution": "Curves: metrics against the size of the images",
    "s_profiles_official": "Waterfall: what each switch changes on the way from the paper to its authors' code",
    "s_profiles_anomalib": "Waterfall: what each switch changes on the way from the paper to anomalib",
    "f3_coreset_vs_random": "Points in the plane with the picks of the greedy coreset above and random picks below",
    "f3_covering_radius": "Curves: covering radius against the number of points kept, greedy below random",
    "f4_locality_and_hierarchies_neighbourhood": "Curves: metrics against the size of the neighbourhood",
    "f4_locality_and_hierarchies_levels": "Bars: metrics by the hierarchies that patch features are made of",
    "f4_locality_and_hierarchies_stride": "Curves: metrics against the stride",
    "f4_locality_and_hierarchies_choices": "Bars: metrics by the choices that the paper leaves open",
    "f5_subsampling": "Curves: metrics against the share of the memory bank that each sampler keeps",
    "anomaly_maps": "Test images with the outline of their ground truth, and their anomaly maps",
    "score_histograms": "Histograms: image scores of nominal and anomalous test images by category",
}
