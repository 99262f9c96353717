"""How a bucket is reached: from the usual AWS variables, profiles and files, and nothing of our own.

botocore reads them all: endpoint, region, addressing style, CA bundle, checksum mode, attempts, and credentials from
variables, profiles, processes, web identity, containers and instances. `AWS_SKIP_SIGNATURE=true` asks for anonymous
access, as in other programs that use object_store. Importing this module imports botocore: do it late.
"""

import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound
from obstore.store import S3Store as Bulk

from svc_core.errors import ConfigError
from svc_core.storage.retries import Budget
from svc_core.storage.store import BucketUrl

if TYPE_CHECKING:
    from obstore.store import S3Credential

BUDGET_S = 180.0
"""How long the network may be away before a command gives up."""
_ATTEMPTS = 40
_CONNECT_S, _READ_S, _REQUEST_S = 10, 60, 120
_MAX_BACKOFF_S = 10
# The client asks again five minutes before this, and botocore renews credentials that live for less than ten.
_CREDENTIALS_LIVE = timedelta(minutes=10)
_YES = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Connection:
    """Two clients of one bucket: `bulk` (obstore) moves bytes, `admin` (botocore) lists, deletes and asks."""

    bucket: str
    bulk: Any = field(repr=False)
    admin: Any = field(repr=False)
    budget: Budget


class Credentials:
    """Hands botocore's credentials to obstore whenever it asks; they are renewed where they come from."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __call__(self) -> "S3Credential":
        frozen = self._source.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_LIVE,
        }


def connect(url: BucketUrl, budget_s: float = BUDGET_S) -> Connection:
    """Makes both clients without any request. Raises ConfigError where a setting or the credentials are missing."""
    # At DEBUG, botocore writes whole requests, with access key and session token.
    logging.getLogger("botocore").setLevel(logging.INFO)
    anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in _YES
    try:
        session = botocore.session.Session()
        # Most of the time of a long listing went into guessing the format of its dates.
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=datetime.fromisoformat)
        admin = session.create_client("s3", config=_admin_config(anonymous))
        attempts = session.get_config_variable("max_attempts")
        bundle = session.get_config_variable("ca_bundle")
        credentials = None if anonymous else session.get_credentials()
    except ProfileNotFound as error:
        raise ConfigError(f"{url}: {error}: correct AWS_PROFILE or the profile in the AWS config file") from None
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"{url}: the AWS settings cannot be used ({type(error).__name__}): check the AWS variables and config file"
        ) from None
    if credentials is None and not anonymous:
        raise ConfigError(
            f"{url}: no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a "
            "role, or AWS_SKIP_SIGNATURE=true for a public bucket"
        )
    budget = Budget(int(attempts or _ATTEMPTS), budget_s)
    bulk = Bulk(
        url.bucket,
        config=_bulk_config(url.bucket, admin, anonymous, _wants_checksums(session)),  # type: ignore[arg-type]
        client_options=_client_options(admin.meta.endpoint_url, bundle, url),  # type: ignore[arg-type]
        retry_config=_retry_config(budget),  # type: ignore[arg-type]
        credential_provider=None if credentials is None else Credentials(credentials),
    )
    return Connection(url.bucket, bulk, admin, budget)


def _admin_config(anonymous: bool) -> Config:
    signature = {"signature_version": UNSIGNED} if anonymous else {}
    # One attempt: the store repeats all requests alike, within one budget.
    return Config(
        retries={"total_max_attempts": 1},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=32,
        **signature,
    )


def _bulk_config(bucket: str, admin: Any, anonymous: bool, checksums: bool) -> dict[str, Any]:
    endpoint = urlsplit(admin.meta.endpoint_url)
    style = (admin.meta.config.s3 or {}).get("addressing_style") or "auto"
    amazon = (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    virtual = "." not in bucket and (style == "virtual" or (style == "auto" and amazon))
    if virtual:
        endpoint = endpoint._replace(netloc=f"{bucket}.{endpoint.netloc}")
    region = admin.meta.region_name
    config: dict[str, Any] = {
        "aws_endpoint_url_s3": urlunsplit(endpoint),  # obstore puts this one before all that it finds itself
        "region": "us-east-1" if region in (None, "aws-global") else region,
        "virtual_hosted_style_request": virtual,
        "skip_signature": anonymous,
    }
    if checksums:
        config["checksum_algorithm"] = "SHA256"
    return config


def _wants_checksums(session: Any) -> bool:
    """Only where it is asked for: the signature covers the body already, and some stores refuse the header."""
    named = os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION")
    asked = named or session.get_scoped_config().get("request_checksum_calculation", "")
    return str(asked).lower() == "when_supported"


def _client_options(endpoint: str, bundle: str | None, url: BucketUrl) -> dict[str, Any]:
    options: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "read_timeout": timedelta(seconds=_READ_S),
        "timeout": timedelta(seconds=_REQUEST_S),
    }
    if bundle and endpoint.startswith("https://"):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{url}: the CA bundle {bundle} cannot be read ({error.strerror}): correct AWS_CA_BUNDLE"
            ) from None
    return options


def _retry_config(budget: Budget) -> dict[str, Any]:
    return {
        "max_retries": budget.attempts - 1,
        "retry_timeout": timedelta(seconds=budget.seconds),
        "backoff": {"max_backoff": timedelta(seconds=_MAX_BACKOFF_S)},
    }
