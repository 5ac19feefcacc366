"""An `S3Resource` of dagster-aws as the way to S3: its credentials, endpoint, profile and region are used for `s3://`."""

import os
from typing import TYPE_CHECKING

from image_assets.core.errors import ConfigError

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def use_s3_resource(resource: "S3Resource") -> None:
    """Let this process, and the workers that it starts, reach S3 as a resource says.

    It goes through the environment, as credentials do everywhere: none of it is in run config, events or metadata.
    A process that loads the definitions, as that of every run and of the sensors does, is set up by doing so.

    Raises:
        ConfigError: the resource asks for what is not done: unchecked certificates.
    """
    said = resource.process_config_and_initialize()
    if said.verify is False:
        raise ConfigError("S3Resource(verify=False) is not supported: use a certificate that this machine trusts")
    if said.profile_name:
        # Keys in the environment would go before the profile.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
    wanted = {
        "AWS_PROFILE": said.profile_name,
        "AWS_REGION": said.region_name,
        "AWS_ENDPOINT_URL_S3": said.endpoint_url,
        "AWS_ACCESS_KEY_ID": said.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": said.aws_secret_access_key,
        "AWS_SESSION_TOKEN": said.aws_session_token,
        "AWS_SKIP_SIGNATURE": "true" if said.use_unsigned_session else None,
    }
    os.environ.update({name: value for name, value in wanted.items() if value})
