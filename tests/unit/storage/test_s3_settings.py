"""Where the AWS settings are read from, and what they become. Nothing here is sent anywhere but to loopback."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from svc_core.errors import ConfigError
from svc_core.storage.folder import FolderStore
from svc_core.storage.opening import open_store
from svc_core.storage.s3_settings import connect
from svc_core.storage.store import BucketUrl

URL = BucketUrl("bucket", "prefix")


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """Sets AWS variables, and the lines of the config file; all others are gone."""

    def use(config: str = "", **variables: str) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        (tmp_path / "config").write_text(config)
        defaults = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                    "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
        for name, value in {**defaults, **variables}.items():
            monkeypatch.setenv(name, value)

    return use


KEYS = {"AWS_ACCESS_KEY_ID": "AKIDX", "AWS_SECRET_ACCESS_KEY": "secret"}
SERVICES = (
    "[default]\nservices = mine\nregion = eu-central-1\n[services mine]\ns3 =\n  endpoint_url = http://s3.test:9000\n"
)


@pytest.mark.parametrize(
    ("config", "variables", "endpoint", "region"),
    [
        ("", {}, "https://bucket.s3.amazonaws.com", "us-east-1"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-1"}, "https://bucket.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("", {"AWS_ENDPOINT_URL": "http://all.test:1"}, "http://all.test:1", "us-east-1"),
        ("", {"AWS_ENDPOINT_URL": "http://all.test:1", "AWS_ENDPOINT_URL_S3": "https://s3.test"}, "https://s3.test",
         "us-east-1"),
        (SERVICES, {}, "http://s3.test:9000", "eu-central-1"),
        ("[default]\ns3 =\n  addressing_style = virtual\n", {"AWS_ENDPOINT_URL_S3": "https://s3.test:9"},
         "https://bucket.s3.test:9", "us-east-1"),
        ("[default]\ns3 =\n  addressing_style = path\n", {"AWS_DEFAULT_REGION": "eu-west-1"},
         "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("[profile other]\nendpoint_url = https://other.test\nregion = x-y\n", {"AWS_PROFILE": "other"},
         "https://other.test", "x-y"),
    ],
)  # fmt: skip
def test_endpoint_region_and_addressing_come_from_the_usual_places(aws, config, variables, endpoint, region):
    aws(config, **KEYS, **variables)
    found = connect(URL).bulk.config
    assert (found["endpoint_url_s3"], found["region"]) == (endpoint, region)


def test_attempts_are_the_users_or_enough_for_the_time(aws):
    aws(**KEYS)
    assert connect(URL).budget == (40, 180.0)
    aws("[default]\nmax_attempts = 3\n", **KEYS)
    assert connect(URL).budget.attempts == 3
    aws(**KEYS, AWS_MAX_ATTEMPTS="7")
    found = connect(URL)
    assert (found.budget.attempts, found.bulk.retry_config["max_retries"]) == (7, 6)


@pytest.mark.parametrize(
    ("config", "variables", "algorithm"),
    [("", {}, None), ("", {"AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_SUPPORTED"}, "SHA256"),
     ("[default]\nrequest_checksum_calculation = when_supported\n", {}, "SHA256"),
     ("[default]\nrequest_checksum_calculation = when_required\n", {}, None)],
)  # fmt: skip
def test_checksums_are_sent_where_they_are_asked_for(aws, config, variables, algorithm):
    aws(config, **KEYS, **variables)
    assert str(connect(URL).bulk.config.get("checksum_algorithm") or "None").upper() == str(algorithm).upper()


def test_a_credential_process_gives_credentials(aws, tmp_path):
    answer = {"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s", "SessionToken": "t",
              "Expiration": "2099-01-01T00:00:00Z"}  # fmt: skip
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    aws(f"[default]\ncredential_process = cat {tmp_path / 'answer.json'}\n")
    given = connect(URL).bulk.credential_provider()
    assert (given["access_key_id"], given["token"]) == ("AKIDPROCESS", "t")


class _Role(BaseHTTPRequestHandler):
    """A container's or web identity's credentials, with another key at each request."""

    def do_GET(self):
        self.server.asked += 1
        body = json.dumps({"AccessKeyId": f"AKIDROLE{self.server.asked}", "SecretAccessKey": "s", "Token": "t",
                           "Expiration": self.server.expiration}).encode()  # fmt: skip
        self._send(body)

    def do_POST(self):
        self.server.asked += 1
        self._send(
            b'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            b"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDWEB</AccessKeyId><SecretAccessKey>s"
            b"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
            b"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def role_server():
    server = HTTPServer(("127.0.0.1", 0), _Role)
    server.asked, server.expiration = 0, "2099-01-01T00:00:00Z"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_containers_role_is_asked_again_before_its_credentials_expire(aws, role_server):
    from datetime import UTC, datetime, timedelta

    role_server.expiration = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    aws(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://127.0.0.1:{role_server.server_port}/role")
    provider = connect(URL).bulk.credential_provider
    first, second = provider()["access_key_id"], provider()["access_key_id"]
    assert first.startswith("AKIDROLE")
    assert first != second, "credentials with five minutes left were handed out again"


def test_web_identity_is_exchanged_for_credentials(aws, role_server, tmp_path):
    (tmp_path / "token").write_text("identity")
    aws(
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/x",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{role_server.server_port}",
        AWS_DEFAULT_REGION="us-east-1",
    )
    assert connect(URL).bulk.credential_provider()["access_key_id"] == "AKIDWEB"


def test_anonymous_access_is_asked_for_by_a_variable(aws):
    aws(AWS_SKIP_SIGNATURE="true")
    found = connect(URL).bulk
    assert found.config["skip_signature"]
    assert found.credential_provider is None


@pytest.mark.parametrize(
    ("config", "variables", "words"),
    [("", {}, "no AWS credentials were found"), ("", {"AWS_PROFILE": "nowhere"}, "nowhere"),
     ("no section\n", KEYS, "AWS settings cannot be used"),
     ("", {"AWS_ACCESS_KEY_ID": "half"}, "AWS settings cannot be used"),
     ("", {**KEYS, "AWS_ENDPOINT_URL": "not a url"}, "AWS settings cannot be used"),
     ("", {**KEYS, "AWS_CA_BUNDLE": "/no/such.pem"}, r"/no/such.pem cannot be read")],
)  # fmt: skip
def test_settings_that_do_not_suffice_are_named(aws, config, variables, words):
    aws(config, **variables)
    with pytest.raises(ConfigError, match=words):
        connect(URL)


def test_a_store_is_opened_by_its_name(aws, tmp_path):
    aws(**KEYS)
    assert open_store("s3://bucket/prefix").name == "s3://bucket/prefix"
    assert isinstance(open_store(str(tmp_path)), FolderStore)
    with pytest.raises(ConfigError, match="gs:// is no kind of store"):
        open_store("gs://bucket")
    assert open_store("~").name == str(Path.home())
