"""A `BigQueryResource` is the way to BigQuery; no request is made here."""

import base64
import json

import pytest

from image_assets.pipeline import warehouse_bigquery
from image_assets.pipeline.warehouse_bigquery import use_bigquery_client
from image_assets.settings.warehouse import BigQuerySettings

dagster_gcp = pytest.importorskip("dagster_gcp")


def test_the_client_has_the_project_location_and_credentials_of_the_resource():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    from image_assets.defs.bigquery_resource import use_bigquery_resource

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account", "client_email": "me@example.org", "token_uri": "https://example.org",
        "private_key": key.decode(),
    }  # fmt: skip
    text = base64.b64encode(json.dumps(account).encode()).decode()
    use_bigquery_resource(dagster_gcp.BigQueryResource(project="theirs", location="EU", gcp_credentials=text))
    try:
        make_client = warehouse_bigquery._client
        assert make_client is not None
        with make_client(BigQuerySettings(dataset="photos")) as client:
            assert (client.project, client.location) == ("theirs", "EU")
            assert client._credentials.service_account_email == "me@example.org"
    finally:
        use_bigquery_client(None)
