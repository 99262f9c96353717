"""Uploads in parts that were begun and never finished: a bucket keeps and bills their parts until they are aborted."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from svc_core.storage import places, s3_errors, s3_settings
from svc_core.storage.store import BucketUrl

OLD_S = 86_400.0
"""A day: no upload of ours takes that long."""


class Upload(NamedTuple):
    key: str
    upload_id: str
    started_s: float
    """by the store's clock, seconds since 1970"""


class Uploads:
    """The unfinished uploads of one workspace. Raises Transient, and ConfigError where the store refuses."""

    def __init__(self, url: BucketUrl) -> None:
        self._url, self._client = url, s3_settings.connect(url).admin
        self._below = f"{url.prefix}/" if url.prefix else ""

    def unfinished(self) -> Iterator[Upload]:
        """Without those below raw/, which are the user's own. MinIO lists only those of a key given in full: none."""
        marker: dict[str, str] = {}
        while True:
            asked = {"Bucket": self._url.bucket, "Prefix": self._below, **marker}
            page = self._ask(partial(self._client.list_multipart_uploads, **asked))
            for item in page.get("Uploads", ()):
                key = item["Key"].removeprefix(self._below)
                if not key.startswith(places.RAW):
                    yield Upload(key, item["UploadId"], item["Initiated"].timestamp())
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abort(self, upload: Upload) -> None:
        """One that is gone already is no error."""
        asked = {"Bucket": self._url.bucket, "Key": self._below + upload.key, "UploadId": upload.upload_id}
        try:
            self._client.abort_multipart_upload(**asked)
        except self._client.exceptions.NoSuchUpload:
            return
        except Exception as error:
            raise s3_errors.explain(error, str(self._url), upload.key) from None

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except Exception as error:
            raise s3_errors.explain(error, str(self._url), None) from None
