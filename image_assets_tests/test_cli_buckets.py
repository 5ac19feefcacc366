"""The command line tool on buckets: URLs where folders go, and no secret in what it prints or writes."""

import json
import subprocess
import sys

import pytest

from image_assets_tests.images import image_bytes
from image_assets_tests.mirrors import download_store
from image_assets_tests.servers import SECRET, s3_client


@pytest.fixture
def tool(s3, tmp_path):
    """Run the tool in an empty folder; return the finished process."""

    def run(*arguments):
        command = [sys.executable, "-m", "image_assets", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_source_and_store_are_urls_and_the_secret_stays_in_the_environment(tool, s3, tmp_path):
    bucket = s3.new_bucket()
    for number in range(4):
        s3_client(s3).put_object(Bucket=bucket, Key=f"raw/a/{number}.jpg", Body=image_bytes(number))
    s3_client(s3).put_object(Bucket=bucket, Key="raw/a/corrupt.jpg", Body=image_bytes(9)[:200])
    store = s3.url(bucket, "store")
    place = ["--input", s3.url(bucket, "raw"), "--store", store, "--features", "none", "--shards", "1"]
    done = tool("run", *place, "--json")
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["images_processed"], summary["corrupted_images"], summary["store"]) == (4, 1, store)
    told = tool("status", *place)
    wrong = [tool("run", *place, "--store", s3.url("nowhere")), tool("run", "--input", f"s3://me:{SECRET}@b/x")]
    assert [process.returncode for process in wrong] == [1, 2]
    assert [process.stderr.count("\n") for process in wrong] == [1, 1]
    said = "".join(process.stdout + process.stderr for process in (done, told, *wrong))
    download_store(store, tmp_path / "mirror")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in said
    assert SECRET.encode() not in written
    assert (tmp_path / "logs/pipeline.log").exists()


def test_a_bucket_has_one_name_however_it_is_reached(tool, s3):
    bucket = s3.new_bucket()
    s3_client(s3).put_object(Bucket=bucket, Key="raw/a.jpg", Body=image_bytes(0))
    urls = [s3.url(bucket, "raw"), s3.url(bucket, "raw/", region="us-east-1")]
    names = [json.loads(tool("plan", "--input", url, "--json").stdout)["dataset"] for url in urls]
    assert names[0] == names[1]
    assert names[0].startswith("raw_")
