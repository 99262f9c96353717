import errno

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, EndpointConnectionError, SSLError
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import BadInput, ConfigError, Conflict, Transient
from svc_core.storage.s3_errors import explain

OBSTORE = "Generic S3 error: Error performing PUT http://x/b/k - Server returned non-2xx status code: {status}: {body}"


class Raised(Exception):
    """As obstore words its errors."""


def of_obstore(status: int, code: str = "") -> Exception:
    body = f"<Error><Code>{code}</Code><Message>secret text</Message></Error>" if code else ""
    return Raised(OBSTORE.format(status=status, body=body))


def of_botocore(status: int, code: str = "") -> Exception:
    found = {"Error": {"Code": code, "Message": "secret text"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(found, "Any")


@pytest.mark.parametrize("make", [of_obstore, of_botocore])
@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "NoSuchBucket", ConfigError, "bucket does not exist"),
        (404, "NoSuchKey", BadInput, "run the stage that writes it"),
        (403, "InvalidAccessKeyId", ConfigError, "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", ConfigError, "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", ConfigError, "log in again"),
        (403, "RequestTimeTooSkewed", ConfigError, "set the clock"),
        (403, "AccessDenied", ConfigError, "grant s3:GetObject"),
        (403, "", ConfigError, "grant s3:GetObject"),
        (301, "PermanentRedirect", ConfigError, "AWS_REGION"),
        (307, "TemporaryRedirect", ConfigError, "AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", ConfigError, "AWS_REGION"),
        (501, "NotImplemented", ConfigError, "does not support"),
        (400, "MalformedXML", ConfigError, "answered 400 MalformedXML"),
        (412, "PreconditionFailed", Conflict, "somebody else"),
        (409, "ConditionalRequestConflict", Conflict, "somebody else"),
        (500, "InternalError", Transient, "answered 500"),
        (503, "SlowDown", Transient, "answered 503"),
        (429, "", Transient, "answered 429"),
        (400, "XAmzContentSHA256Mismatch", Transient, "answered 400"),
        (404, "NoSuchUpload", Transient, "answered 404"),
    ],
)
def test_refusals_become_decisions(make, status, code, kind, words):
    found = explain(make(status, code), "s3://b", "k")
    assert type(found) is kind
    assert words in str(found)
    assert str(found).startswith("s3://b/k")
    assert "secret text" not in str(found)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), Transient, "refused"),
        (SSLError(endpoint_url="https://x", error="bad"), ConfigError, "AWS_CA_BUNDLE"),
        (CredentialRetrievalError(provider="p", error_msg="secret text"), ConfigError, "no credentials could be had"),
        (Raised("kind: Connect, source: tcp connect error, ConnectionRefused"), Transient, "refused"),
        (Raised("kind: Connect, dns error: failed to lookup address"), Transient, "host name was not found"),
        (Raised("kind: Timeout, TimedOut, retry_timeout: 180s"), Transient, "in time"),
        (Raised("kind: Connect, invalid peer certificate: UnknownIssuer"), ConfigError, "AWS_CA_BUNDLE"),
        (PermissionError(errno.EACCES, "denied", "file"), ConfigError, "file"),
        (FileNotFoundError(errno.ENOENT, "gone", "file"), BadInput, "file"),
    ],
)
def test_what_happens_on_the_way_becomes_a_decision(error, kind, words):
    found = explain(error, "s3://b", "k")
    assert type(found) is kind
    assert words in str(found)
    assert "secret text" not in str(found)


@given(st.text(alphabet="ABCXYZ0123456789/+", min_size=12))
def test_no_text_of_a_library_is_passed_on(secret):
    assert secret not in str(explain(Raised(f"error sending {secret}"), "s3://b", "k"))
