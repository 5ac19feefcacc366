"""Dagster reaches S3 as an S3Resource says, and no secret is in what it stores, logs or shows."""

import os

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from image_assets.core.errors import ConfigError
from image_assets.defs.dataset import dataset_definitions
from image_assets.defs.s3_resource import use_s3_resource
from image_assets.storage.store import Store
from image_assets_tests.images import image_bytes, make_settings_for
from image_assets_tests.mirrors import download_store
from image_assets_tests.servers import SECRET, s3_client


@pytest.fixture
def nobody(s3, monkeypatch):
    """The server, and an environment that says nothing of how to reach it but the secret that a resource names."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        # Set first, so that what a resource leaves behind is taken away again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEAM_SECRET", SECRET)
    return s3


def contents_below(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_run_reaches_buckets_by_the_resource_and_keeps_its_secret(nobody, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    bucket = nobody.new_bucket()
    for number in range(4):
        s3_client(nobody).put_object(Bucket=bucket, Key=f"raw/a/{number}.jpg", Body=image_bytes(number))
    s3_client(nobody).put_object(Bucket=bucket, Key="raw/a/corrupt.jpg", Body=image_bytes(9)[:200])
    settings = make_settings_for(
        tmp_path, source={"path": f"s3://{bucket}/raw"}, store=f"s3://{bucket}/store", num_shards=1, exports=["csv"]
    )
    resource = S3Resource(
        endpoint_url=nobody.endpoint,
        region_name="us-east-1",
        aws_access_key_id="somebody",
        aws_secret_access_key=dg.EnvVar("TEAM_SECRET"),
    )
    defs = dg.Definitions.merge(
        dg.Definitions(executor=dg.in_process_executor), dataset_definitions(settings, resource)
    )
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        sensor = defs.resolve_sensor_def("tiny_source_sensor")
        with dg.build_sensor_context(instance, repository_def=defs.get_repository_def()) as context:
            said = sensor.evaluate_tick(context)
        (request,) = said.run_requests
        job = defs.resolve_job_def(request.job_name)
        result = job.execute_in_process(instance=instance, tags=request.tags)
        assert result.success
        runs = instance.get_runs()
        assert SECRET not in repr(runs) + repr(result.all_events)
    assert Store(settings.store).exists("index.parquet")
    mirror = download_store(settings.store, tmp_path / "mirror")
    written, printed = contents_below(tmp_path), capfd.readouterr()
    assert SECRET.encode() not in written
    assert (mirror / "exports/index.csv").exists()
    assert SECRET not in printed.out + printed.err + caplog.text + repr(said)


def test_a_profile_goes_before_keys_in_the_environment(nobody, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the machine")
    use_s3_resource(S3Resource(profile_name="team", use_unsigned_session=False))
    assert (os.environ["AWS_PROFILE"], os.environ.get("AWS_ACCESS_KEY_ID")) == ("team", None)


def test_unchecked_certificates_are_refused(nobody):
    with pytest.raises(ConfigError, match=r"verify=False\) is not supported"):
        use_s3_resource(S3Resource(verify=False))
