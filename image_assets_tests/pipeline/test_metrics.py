"""The seven run metrics and the status that sums a dataset up."""

import pytest

from image_assets.pipeline.metrics import FAILURE, PARTIAL_FAILURE, SUCCESS, pipeline_status, run_metrics
from image_assets_tests.storage.rows import manifest_head


def head(images, failed=0, **numbers):
    return manifest_head(images=images, failed=failed, **numbers)


@pytest.mark.parametrize(
    ("heads", "missing", "warn", "status"),
    [
        ([], 0, 0.01, FAILURE),
        ([], 4, 0.01, FAILURE),
        ([head(0)], 0, 0.01, SUCCESS),  # every image was deleted on purpose
        ([head(0)], 1, 0.01, PARTIAL_FAILURE),
        ([head(1)], 0, 0.01, SUCCESS),
        ([head(1, 1)], 0, 0.01, FAILURE),
        ([head(1, 1), head(1)], 0, 0.01, PARTIAL_FAILURE),
        ([head(5, 5), head(0)], 0, 1.0, FAILURE),  # none has an output, whatever the limit
        ([head(100, 1)], 0, 0.01, SUCCESS),  # exactly the limit
        ([head(50), head(50, 1)], 0, 0.01, SUCCESS),
        ([head(99, 1)], 0, 0.01, PARTIAL_FAILURE),
        ([head(100, 2)], 0, 0.01, PARTIAL_FAILURE),
        ([head(100, 29)], 0, 0.29, SUCCESS),  # 0.29 * 100 is less than 29
        ([head(100, 57)], 0, 0.57, SUCCESS),
        ([head(1_000_000, 1)], 0, 0.0, PARTIAL_FAILURE),
        ([head(1_000_000)], 0, 0.0, SUCCESS),
        ([head(100)], 1, 0.01, PARTIAL_FAILURE),
        ([head(3, 2)], 0, 1.0, SUCCESS),
    ],
)
def test_the_status_of_a_dataset(heads, missing, warn, status):
    assert pipeline_status(heads, missing_shards=missing, warn=warn) == status


def test_the_statuses_are_spelled_as_users_know_them():
    assert (SUCCESS, PARTIAL_FAILURE, FAILURE) == ("success", "partial failure", "failure")


def test_the_seven_metrics_of_several_shards(settings):
    heads = [head(10, 1, output_bytes=1000, seconds=1.25), head(3, 0, output_bytes=205, seconds=0.5004)]
    assert run_metrics(settings(), heads) == {
        "images_processed": 12,
        "processing_time_sec": 1.75,
        "corrupted_images": 1,
        "average_image_size": 100.4,
        "augmentation_applied": False,
        "output_format": "jpeg",
        "pipeline_status": "partial failure",
    }


def test_variants_are_images_of_their_own_in_the_average_only(settings):
    options = settings(augment={"variants": 3}, output={"format": "png"})
    metrics = run_metrics(options, [head(2, 0, output_bytes=800)])
    assert metrics["average_image_size"] == 100.0
    assert (metrics["images_processed"], metrics["augmentation_applied"], metrics["output_format"]) == (2, True, "png")


@pytest.mark.parametrize("heads", [[], [head(0)], [head(4, 4)]])
def test_without_an_output_the_average_is_zero(settings, heads):
    assert run_metrics(settings(), heads)["average_image_size"] == 0.0


def test_the_status_uses_the_limit_of_the_settings_and_the_missing_shards(settings):
    options = settings(checks={"failed_fraction": {"warn": 0.5}})
    assert run_metrics(options, [head(2, 1)])["pipeline_status"] == "success"
    assert run_metrics(options, [head(2, 1)], missing_shards=1)["pipeline_status"] == "partial failure"
