"""How a bucket is reached: options in the URL, secrets from everywhere but the URL."""

from pathlib import Path

import obstore
import pytest

from image_assets.core.errors import ConfigError, ImageAssetsError, SourceError
from image_assets.core.object_urls import parse_object_url
from image_assets.settings import make_settings
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.object_stores import error_text, open_object_store
from image_assets.storage.store import Store
from image_assets_tests.proxy import Trouble, proxy_before
from image_assets_tests.servers import SECRET, s3_client

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def bucket(s3):
    """A bucket with one object."""
    name = s3.new_bucket()
    s3_client(s3).put_object(Bucket=name, Key="a.jpg", Body=b"1")
    return name


def names_in(url):
    return [entry["path"] for chunk in obstore.list(open_object_store(url)) for entry in chunk]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://b", ("s3", "b", "", {})),
        ("s3a://b/", ("s3", "b", "", {})),
        ("S3://b/some where/x#1/", ("s3", "b", "some where/x#1", {})),
        (
            "s3://b/50%25?region=eu-west-1&profile=team",
            ("s3", "b", "50%25", {"region": "eu-west-1", "profile": "team"}),
        ),
        ("gs://b/x?anonymous=true", ("gs", "b", "x", {"anonymous": "true"})),
        ("az://c/x?account=me", ("az", "c", "x", {"account": "me"})),
        ("abfss://c@me.dfs.core.windows.net/x", ("az", "c", "x", {"account": "me"})),
    ],
)
def test_a_url_says_where_and_how(url, said):
    found = parse_object_url(url)
    assert (found.kind, found.bucket, found.prefix, found.options) == said


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://b/x", r"unknown kind of object store 'ftp'; known: s3, s3a, gs, gcs, az, abfs, abfss"),
        ("s3:///x", r"names no bucket; write s3://bucket/prefix"),
        (
            "s3://b?endpoint=http://h",
            r"unknown option 'endpoint' of a s3:// URL; known: anonymous, endpoint_url, profile",
        ),
        ("gs://b?region=x", r"unknown option 'region' of a gs:// URL; known: anonymous, endpoint_url$"),
        ("s3://b?anonymous=maybe", r"anonymous of a s3:// URL is true or false"),
        ("s3://b?endpoint_url=h:5000", r"endpoint_url of a s3:// URL is http://host or https://host"),
        ("s3://b?endpoint_url=https://h/?a=b", r"without a query"),
    ],
)
def test_a_wrong_url_is_told_what_is_known(url, told):
    with pytest.raises(ConfigError, match=told):
        open_object_store(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIA:{SECRET}@b/x",
        f"s3://{SECRET}@b/x",
        f"s3://b/x?access_key=AKIA&secret_key={SECRET}",
        f"s3://b/x?aws_secret_access_key={SECRET}",
        f"s3://b/x?session_token={SECRET}",
        f"s3://b/x?{SECRET}",
        f"s3://b/x?{SECRET}={SECRET}",
        f"s3://b/x?endpoint_url=http://me:{SECRET}@host",
        f"az://c/x?sv=2023-11-03&sig={SECRET}",
        f"az://c/x?sas_token={SECRET}",
        f"abfss://c:{SECRET}@me.dfs.core.windows.net/x",
        f"gs://b/x?service_account_key={SECRET}",
        f"s3://b/x?anonymous={SECRET}",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url, tmp_path):
    acts = [
        lambda: open_object_store(url),
        lambda: Store(url),
        lambda: build_source(SourceSettings(path=url)).list(),
        lambda: make_settings({"name": "x", "source": {"path": "raw"}, "store": url}, base=tmp_path),
        lambda: make_settings({"name": "x", "source": {"path": url}, "store": "store"}, base=tmp_path),
    ]
    for act in acts:
        with pytest.raises(ConfigError) as caught:
            act()
        assert SECRET not in str(caught.value)


def test_secrets_come_from_the_environment_or_a_profile(s3, bucket, tmp_path, monkeypatch):
    trouble = Trouble()
    with proxy_before(s3, trouble) as proxy:
        assert names_in(proxy.url(bucket)) == ["a.jpg"]
        assert trouble.signers == {"somebody"}
        config, credentials = tmp_path / "config", tmp_path / "credentials"
        config.write_text(f"[profile team]\nregion = eu-west-3\nendpoint_url = {proxy.endpoint}\n[default]\n")
        credentials.write_text(
            f"[team]\naws_access_key_id = of_team\naws_secret_access_key = {SECRET}\n"
            f"[default]\naws_access_key_id = of_all\naws_secret_access_key = {SECRET}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        monkeypatch.delenv("AWS_REGION")
        # Named in the URL, it goes before the environment; region and endpoint are its own.
        trouble.signers.clear()
        assert names_in(f"s3://{bucket}?profile=team") == ["a.jpg"]
        for name in KEYS:
            monkeypatch.delenv(name)
        assert names_in(proxy.url(bucket)) == ["a.jpg"]
        monkeypatch.setenv("AWS_PROFILE", "team")
        assert names_in(f"s3://{bucket}") == ["a.jpg"]
        assert trouble.signers == {"of_team", "of_all"}


def test_an_endpoint_comes_from_the_environment(s3, bucket, monkeypatch):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, s3.endpoint)
        assert names_in(f"s3://{bucket}") == ["a.jpg"]
        monkeypatch.delenv(name)


def test_a_public_bucket_needs_no_credentials(s3, bucket, monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(
        ConfigError, match=rf"no AWS credentials for s3://{bucket}; set AWS_ACCESS_KEY_ID .*anonymous=true"
    ):
        names_in(s3.url(bucket))
    with pytest.raises(ConfigError, match=r"\(nobody\) could not be found"):
        names_in(s3.url(bucket, profile="nobody"))
    trouble = Trouble()
    with proxy_before(s3, trouble) as proxy:
        assert names_in(proxy.url(bucket, anonymous="true")) == ["a.jpg"]
    assert trouble.signers == set()


def test_a_signature_in_an_address_is_in_no_error(azure, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_KEY", f"sv=2023-11-03&sp=rl&sig={SECRET}")
    for act in (lambda url: build_source(SourceSettings(path=url)).list(), lambda url: Store(url).get("x")):
        with pytest.raises(ImageAssetsError, match=r"403") as caught:
            act(azure.url("container"))
        assert SECRET not in str(caught.value)
    text = error_text(OSError(f"cannot get http://host/c/x?sv=1&sig={SECRET} in 1.5ms"))
    assert text == "cannot get http://host/c/x"


def test_describing_a_source_looks_for_no_credentials(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(Path("/dev/null")))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    source = build_source(SourceSettings(path="s3://b/x"))
    with pytest.raises((ConfigError, SourceError), match="no AWS credentials for s3://b"):
        source.list()
