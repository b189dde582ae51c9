"""An S3-compatible store for originals. Only this file knows boto3, and it is loaded only where settings name a bucket."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from inspections.photos import RemoteAway

PREFIX = "blobs/sha256"
MISSING = ("NoSuchKey", "404")
# Checksums of boto3's own choice are left out: many compatible stores refuse the trailers in which they travel. Ours is a
# plain header, and what counts is what is read back.
CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 2},
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3:
    """A `photos.RemoteStore` in one bucket, keys `blobs/sha256/ab/cd/<sha256>`."""

    def __init__(self, bucket: str, url: str, region: str, key: str, secret: str):
        self.bucket = bucket
        self.client = boto3.client(
            "s3",
            endpoint_url=url or None,
            region_name=region,
            aws_access_key_id=key or None,
            aws_secret_access_key=secret or None,
            config=CONFIG,
        )

    def put(self, sha256: str, path: Path) -> None:
        """One PUT with its checksum; the store refuses what differs from it, if it knows the header."""
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with _named_faults(), path.open("rb") as file:
            self.client.put_object(Bucket=self.bucket, Key=_key(sha256), Body=file, ChecksumSHA256=checksum)

    def read(self, sha256: str) -> bytes:
        with _named_faults():
            return self.client.get_object(Bucket=self.bucket, Key=_key(sha256))["Body"].read()

    def remove(self, sha256: str) -> None:
        with _named_faults():
            self.client.delete_object(Bucket=self.bucket, Key=_key(sha256))


def _key(sha256: str) -> str:
    return f"{PREFIX}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


@contextmanager
def _named_faults() -> Iterator[None]:
    """Raises FileNotFoundError and RemoteAway in place of boto3's."""
    try:
        yield
    except ClientError as refused:
        code = refused.response["Error"]["Code"]
        if code in MISSING:
            raise FileNotFoundError(code) from refused
        raise RemoteAway(code) from refused
    except BotoCoreError as away:
        raise RemoteAway(type(away).__name__) from away
