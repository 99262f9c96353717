"""What a bucket's refusals mean, as decisions. No text of a server or library is passed on: it may hold credentials."""

import re
from typing import NamedTuple

from svc_core.errors import BadInput, ConfigError, SvcError, Transient, from_os_error
from svc_core.storage.store import conflict


class Refusal(NamedTuple):
    """What can be told of a failed request: S3's error code, the HTTP status, and the words of the cause."""

    code: str
    status: int
    cause: str


_SETTINGS = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct the URL or the endpoint",
    "InvalidBucketName": "the store does not take this bucket name: correct the URL",
    "InvalidAccessKeyId": "the access key is not known there: check AWS_ACCESS_KEY_ID, AWS_PROFILE and the endpoint",
    "SignatureDoesNotMatch": "the secret key does not fit the access key: check AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "ExpiredToken": "the session's credentials have expired: log in again, or renew AWS_SESSION_TOKEN",
    "InvalidToken": "the session token is not valid there: log in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock differs too much from the store's: set the clock",
    "NoCredentials": "no credentials could be had: check the AWS profile, process or role that should give them",
    "Certificate": "the store's certificate is not trusted: set AWS_CA_BUNDLE to the CA's file, or correct the host",
    "Redirect": "the bucket lies in another region or behind another endpoint: set AWS_REGION or the endpoint",
    "NotImplemented": "the store does not support this request: use another store, or a newer version of it",
    "EntityTooLarge": "the file is larger than the store takes: raise the store's limit",
    "AccessDenied": "the credentials do not allow this: grant s3:GetObject, PutObject, DeleteObject and ListBucket",
}
_SAME = {
    "PermanentRedirect": "Redirect",
    "TemporaryRedirect": "Redirect",
    "AuthorizationHeaderMalformed": "Redirect",
    "IllegalLocationConstraintException": "Redirect",
    "AllAccessDisabled": "AccessDenied",
    "AccountProblem": "AccessDenied",
    "InvalidSecurity": "AccessDenied",
    "MethodNotAllowed": "NotImplemented",
    "TokenRefreshRequired": "ExpiredToken",
    "ExpiredTokenException": "ExpiredToken",
}
_BY_STATUS = {301: "Redirect", 307: "Redirect", 308: "Redirect", 401: "AccessDenied", 403: "AccessDenied",
              405: "NotImplemented", 413: "EntityTooLarge", 501: "NotImplemented"}  # fmt: skip
# The bytes were harmed or held up on the way: 400, but another attempt may succeed.
_HARMED = {"XAmzContentSHA256Mismatch", "BadDigest", "IncompleteBody", "RequestTimeout", "InvalidDigest",
           "XMinioInvalidContentSha256", "ContentSHA256Mismatch"}  # fmt: skip
_PRECONDITION = {"PreconditionFailed", "ConditionalRequestConflict"}


def explain(error: Exception, name: str, key: str | None) -> SvcError:
    """The decision for an exception of obstore or botocore about `key` of the store `name`."""
    if isinstance(error, SvcError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return from_os_error(error)  # of the local file that was to be sent
    place = f"{name}/{key}" if key else name
    code, status, cause = _refusal(error)
    if code in _PRECONDITION or status in (409, 412):
        return conflict(place)
    if code in _SETTINGS:
        return ConfigError(f"{place}: {_SETTINGS[code]}")
    if status == 404 and code != "NoSuchUpload":
        return BadInput(f"{place} does not exist: run the stage that writes it")
    if code in _HARMED or status in (0, 404, 408, 416, 429) or status >= 500:
        return Transient(f"{place}: {cause}: check the network and the store, then run the same command again")
    return ConfigError(f"{place}: the store refuses the request ({cause}): check the endpoint and its settings")


def _refusal(error: Exception) -> Refusal:
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _judged(str(error.response.get("Error", {}).get("Code", "")), status)
    if isinstance(error, BotoCoreError):
        return _of_botocore(error)
    text = str(error)
    found = re.search(r"<Code>(\w+)</Code>", text)
    code = found[1] if found else ""
    number = re.search(r"status code: (\d{3})", text) or re.search(r"status: (\d{3})\b", text)
    if isinstance(error, FileNotFoundError):
        return Refusal(code, 404, "the upload in parts is not known any more")
    if number or code:
        return _judged(code, int(number[1]) if number else 0)
    return _of_transport(type(error).__name__, text)


def _judged(code: str, status: int) -> Refusal:
    code = _SAME.get(code, code)
    cause = f"the store answered {status}" + (f" {code}" if code else "")
    if code not in _SETTINGS and code not in _PRECONDITION and code not in _HARMED:
        code = _BY_STATUS.get(status, code)
    if status >= 500 and status != 501:
        code = "SlowDown" if status == 503 else "InternalError"
    return Refusal(code, status, cause)


def _of_botocore(error: Exception) -> Refusal:
    kind = type(error).__name__
    if "Credential" in kind or "Token" in kind or kind == "MetadataRetrievalError":
        return Refusal("NoCredentials", 0, "")
    if kind == "SSLError":
        return Refusal("Certificate", 0, "")
    return Refusal("", 0, _words(kind))


def _of_transport(kind: str, text: str) -> Refusal:
    if "credential provider" in text and "Connection" not in text and "Timeout" not in text:
        return Refusal("NoCredentials", 0, "")
    if "certificate" in text.lower() or "UnknownIssuer" in text:
        return Refusal("Certificate", 0, "")
    return Refusal("", 0, _words(text or kind))


def _words(text: str) -> str:
    """The cause in plain words; nothing of `text` itself."""
    lower = text.lower().replace("retry_timeout", "")  # a setting that obstore names in every text
    for signs, words in (
        (("dns", "name or service", "failed to lookup", "gaierror"), "the store's host name was not found"),
        (("refused", "endpointconnection"), "the connection was refused"),
        (("timeout", "timed out", "timedout"), "the store did not answer in time"),
        (("kind: connect", "connecttimeout"), "the store cannot be reached"),
        (("reset", "closed", "incomplete", "body", "eof", "broken pipe"), "the connection was cut"),
    ):  # fmt: skip
        if any(sign in lower for sign in signs):
            return words
    return "the request failed on its way"
