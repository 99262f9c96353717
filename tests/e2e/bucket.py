"""The bucket inside the cluster, through a forwarded port that is opened anew when its pod was replaced."""

import io
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
from botocore.exceptions import BotoCoreError, ClientError

from jobs.demo import RATE_HZ, speak
from k8s import store
from k8s.cluster import Cluster
from k8s.store import BUCKET


@dataclass
class Bucket:
    cluster: Cluster
    _forward: ExitStack = field(default_factory=ExitStack)
    _port: int = 0

    def client(self) -> Any:
        """A client that was seen to work just now."""
        for _ in range(60):
            if not self._port:
                self._open()
            made = store.client(self._port)
            try:
                made.list_buckets()
                return made
            except (BotoCoreError, ClientError):
                self.close()
                time.sleep(1)
        raise AssertionError("the bucket cannot be reached")

    def _open(self) -> None:
        self._port = self._forward.enter_context(store.forwarded(self.cluster))
        time.sleep(1)

    def close(self) -> None:
        self._forward.close()
        self._port = 0

    def create(self) -> None:
        self.client().create_bucket(Bucket=BUCKET)

    def entries(self, prefix: str) -> dict[str, tuple[str, str]]:
        """Key below `prefix/` -> (ETag, time of the last write)."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {
            item["Key"].removeprefix(f"{prefix}/"): (item["ETag"], item["LastModified"].isoformat())
            for page in pages
            for item in page.get("Contents", [])
        }

    def read(self, key: str) -> bytes:
        return self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        self.client().put_object(Bucket=BUCKET, Key=key, Body=content)

    def copy(self, source: str, target: str) -> None:
        """Everything below one prefix to another."""
        client = self.client()
        for key in self.entries(source):
            client.copy({"Bucket": BUCKET, "Key": f"{source}/{key}"}, BUCKET, f"{target}/{key}")

    def record(self, speaker: str, count: int = 3, seconds: float = 12.0, first: int = 0) -> None:
        """Recordings of made speech in the speaker's own workspace."""
        client = self.client()
        for name, content in takes(count, seconds, first).items():
            client.put_object(Bucket=BUCKET, Key=f"voices/{speaker}/raw/{speaker}/{name}", Body=content)


def takes(count: int, seconds: float = 12.0, first: int = 0) -> dict[str, bytes]:
    """Recordings of made speech by their names."""
    return {f"take {number}.flac": flac(number, seconds) for number in range(first, first + count)}


def flac(number: int, seconds: float, times: int = 1) -> bytes:
    """A recording of made speech; `times` over where it shall be long."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(speak(number, seconds), times), RATE_HZ, format="FLAC")
    return buffer.getvalue()
