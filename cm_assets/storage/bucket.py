"""Artifacts in a bucket of S3, or of what speaks its protocol: MinIO, SeaweedFS, Ceph, R2, Spaces.

Its address and keys are the standard variables: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_DEFAULT_REGION. A file is put in one request, or in parts that become it all at once; the server is told the SHA-256
of whatever it is sent, and refuses what is not that.
"""

import base64
import hashlib
import io
import logging
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cm_assets.models.artifact import LostArtifact
from cm_assets.models.base import Failure, PermanentFailure, Seconds, TransientFailure

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PART = 64 << 20
"""Bytes of a part, and of the largest file that needs none. Each is a request, and what is sent again after a break."""

MOST_PARTS = 10_000
"""That a file may have (S3's own bound)."""

AT_ONCE = 4
"""Parts on their way at a time."""

BLOCK = 1 << 20

ATTEMPTS = 5
"""Of each request. The pauses between them double from at most a second, up to 20 (botocore's mode `standard`)."""

CONNECT: Seconds = 5.0
SILENCE: Seconds = 60.0
"""For which a server may say nothing; AWS takes a while to make a large file of its parts."""

MOST_BREAKS = 4
"""Answers in a row that broke off and brought nothing new."""

MOST_KEYS = 1000
"""That are removed by one request (S3's own bound)."""

ABANDONED = timedelta(days=1)
"""After which nobody goes on with an upload in parts."""

_WRONG_KEY = {
    "InvalidAccessKeyId": "does not know the key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "refuses the key's secret: check AWS_SECRET_ACCESS_KEY",
    "InvalidSecurity": "refuses the key: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "says that the key has expired: renew AWS_ACCESS_KEY_ID and what belongs to it",
    "InvalidToken": "refuses the key's token: renew or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "has another time than this machine: set its clock",
    "AuthorizationHeaderMalformed": "is of another region: check AWS_DEFAULT_REGION",
    "PermanentRedirect": "is of another region: check AWS_DEFAULT_REGION",
}

_PASSING = {
    *("SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException", "TooManyRequests"),
    *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "OperationAborted", "NoSuchUpload"),
}
"""Of a 4xx that another attempt may not get: what was sent had changed on its way, or somebody removed its parts."""

log = logging.getLogger(__name__)

# They log headers.
for _name in ("botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Bucket:
    """A folder of a bucket. Nothing is connected before it is used, and a process never uses another one's connections.

    Args:
        url: as `s3://bucket/folder`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        self._name = parts.netloc
        self._prefix = f"{folder}/" if (folder := parts.path.strip("/")) else ""
        self._connection: tuple[Any, int] | None = None
        self._connecting = threading.Lock()

    def address(self, key: str) -> str:
        """Where a file lies, for people."""
        return f"{self._url}/{key}"

    def warm(self) -> None:
        """Make ready what processes that are forked from this one share. Nothing is connected."""
        self._connection = (_new_client(), 0)

    def put(self, path: Path, key: str, sha256: str, media_type: str) -> None:
        """Store a file under a key; it appears whole.

        Args:
            path: of the file.
            key: where.
            sha256: of its content, in hexadecimal digits.
            media_type: such as `video/mp4`.

        Raises:
            Failure: it is not there.
        """
        size = path.stat().st_size
        where = {"Bucket": self._name, "Key": self._prefix + key}
        with self._saying("may not write", "s3:PutObject"):
            if size <= PART:
                with path.open("rb") as file:
                    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
                    self._client.put_object(
                        **where, Body=file, ContentLength=size, ContentType=media_type, ChecksumSHA256=digest
                    )
            else:
                self._put_in_parts(path, size, where, sha256, media_type)

    def _put_in_parts(self, path: Path, size: int, where: dict[str, str], sha256: str, media_type: str) -> None:
        length = max(PART, math.ceil(size / MOST_PARTS))
        client = self._client
        begun = client.create_multipart_upload(**where, ContentType=media_type, ChecksumAlgorithm="SHA256")
        upload = {**where, "UploadId": begun["UploadId"]}

        def piece_of(number: int) -> _Slice:
            return _Slice(path, number * length, min(length, size - number * length))

        def send(number: int) -> dict[str, Any]:
            with piece_of(number) as piece:
                digest = base64.b64encode(_hashed(piece, hashlib.sha256())).decode()
                piece.seek(0)
                sent = client.upload_part(
                    **upload, PartNumber=number + 1, Body=piece, ContentLength=len(piece), ChecksumSHA256=digest
                )
            return {"PartNumber": number + 1, "ETag": sent["ETag"], "ChecksumSHA256": digest}

        whole, parts = hashlib.sha256(), []
        try:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for number, part in enumerate(threads.map(send, range(math.ceil(size / length)))):
                    parts.append(part)
                    # Read again once it is there, so that whatever has changed since the file got its name is seen.
                    with piece_of(number) as piece:
                        _hashed(piece, whole)
            if whole.hexdigest() != sha256:
                raise TransientFailure(f"{path.name} changed while it was stored")
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(upload)
            raise

    def get(self, key: str, target: Path) -> str:
        """Load a file; its SHA-256. A connection that breaks is taken up again where it broke.

        Args:
            key: of the file.
            target: overwritten.

        Raises:
            LostArtifact: it is not there.
            Failure: it cannot be had.
        """
        digest, tag, breaks = hashlib.sha256(), "", 0
        with self._saying("may not read", "s3:GetObject", key=key), target.open("wb") as file:
            while True:
                begin = file.tell()
                asked = {"Range": f"bytes={begin}-", "IfMatch": tag} if begin else {}
                answer = self._client.get_object(Bucket=self._name, Key=self._prefix + key, **asked)
                tag = answer["ETag"]
                if _received(answer["Body"], file, digest):
                    return digest.hexdigest()
                breaks = 0 if file.tell() > begin else breaks + 1
                if breaks >= MOST_BREAKS:
                    raise TransientFailure(f"{self._host()} broke the connection off again and again")
                log.info("%s broke off; going on from byte %d", self.address(key), file.tell())
                time.sleep(0.2 * 2**breaks)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so.

        Raises:
            Failure: they cannot be had.
        """
        with self._saying("may not list", "s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + prefix):
                for one in page.get("Contents", ()):
                    yield one["Key"].removeprefix(self._prefix)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files. Removing them again changes nothing.

        Raises:
            Failure: some are there still.
        """
        left = [{"Key": self._prefix + key} for key in keys]
        with self._saying("may not remove", "s3:DeleteObject"):
            for begin in range(0, len(left), MOST_KEYS):
                batch = {"Objects": left[begin : begin + MOST_KEYS], "Quiet": True}
                done = self._client.delete_objects(Bucket=self._name, Delete=batch)
                for error in done.get("Errors", ()):
                    raise _failure(error.get("Code", ""), 0, self._host(), "may not remove", "s3:DeleteObject")

    def abort_abandoned(self, prefix: str = "", age: timedelta = ABANDONED) -> int:
        """Remove the parts of uploads that somebody began who was killed; how many uploads.

        Args:
            prefix: of their keys.
            age: at least.

        Raises:
            Failure: that is not known.
        """
        count, until = 0, datetime.now(UTC) - age
        with self._saying("may not list uploads", "s3:ListBucketMultipartUploads"):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + prefix):
                for one in page.get("Uploads", ()):
                    if one["Initiated"] <= until:
                        self._abort({"Bucket": self._name, "Key": one["Key"], "UploadId": one["UploadId"]})
                        count += 1
        return count

    def check(self) -> None:
        """See that the bucket is there. Some servers make it where it is not, when something is put there.

        Raises:
            Failure: it is not, or cannot be reached.
        """
        with self._saying("may not list", "s3:ListBucket", whole=True):
            self._client.head_bucket(Bucket=self._name)

    def _abort(self, upload: dict[str, str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        # What stays is swept up later, or by the bucket's own rule.
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**upload)

    @property
    def _client(self) -> Any:
        """This process's own: two that share a connection would read each other's answers."""
        with self._connecting:
            client, owner = self._connection or (None, 0)
            if client is None or owner not in {0, os.getpid()}:
                client = _new_client()
            self._connection = (client, os.getpid())
        return client

    def _host(self) -> str:
        """The server, for people: without what an address may hold beside the host."""
        parts = urlsplit(self._client.meta.endpoint_url)
        port = f":{parts.port}" if parts.port else ""
        return f"the artifact store at {parts.hostname}{port}"

    @contextmanager
    def _saying(self, refused: str, permission: str, *, key: str = "", whole: bool = False) -> Iterator[None]:
        """Turn the errors of a request into failures of the three classes, in words for people.

        Args:
            refused: what the key may not, as in `may not read`.
            permission: that it lacks then.
            key: of the file that is asked for; else it is the bucket that is missing.
            whole: the bucket itself is asked for.
        """
        _require_client()
        from botocore import exceptions as errors
        from botocore.parsers import ResponseParserError

        try:
            yield
        except errors.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = _code(error)
            if key and code in {"NoSuchKey", "404"}:
                raise LostArtifact(f"the artifact {key} is missing: materialize its asset again") from None
            if code in {"NoSuchBucket", "404"} or (whole and status == 404):
                raise PermanentFailure(
                    f"{self._host()} has no bucket {self._name}: make it, or correct CM_ARTIFACTS_URL"
                ) from None
            raise _failure(code, status, self._host(), refused, permission) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError):
            raise PermanentFailure(
                "there is no key for the artifact store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except (errors.HTTPClientError, errors.ConnectionError, errors.IncompleteReadError, ResponseParserError):
            raise TransientFailure(
                f"{self._host()} does not answer as it should; if that lasts, check AWS_ENDPOINT_URL"
            ) from None
        except errors.BotoCoreError as error:
            raise _unusable(error) from None


class _Slice(io.RawIOBase):
    """A piece of a file, read as it is sent."""

    def __init__(self, path: Path, begin: int, length: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._begin, self._length, self._at = begin, length, 0

    def __len__(self) -> int:
        return self._length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._length - self._at)
        self._file.seek(self._begin + self._at)
        found = self._file.read(left if size < 0 else min(size, left))
        self._at += len(found)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def _received(body: Any, file: IO[bytes], digest: Any) -> bool:
    """Write an answer to a file as it comes; False if it broke off."""
    from botocore import exceptions as errors
    from urllib3.exceptions import HTTPError

    try:
        for block in body.iter_chunks(BLOCK):
            file.write(block)
            digest.update(block)
    except (errors.HTTPClientError, errors.IncompleteReadError, HTTPError):
        return False
    finally:
        body.close()
    return True


def _hashed(piece: _Slice, digest: "hashlib._Hash") -> bytes:
    """What a digest is after a piece that is read to its end."""
    while block := piece.read(BLOCK):
        digest.update(block)
    return digest.digest()


def _code(error: "ClientError") -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _failure(code: str, status: int, host: str, refused: str, permission: str) -> Failure:
    """The failure that an answer is. What the server says of it is shown to nobody: it may repeat what it was sent."""
    if code in _WRONG_KEY:
        return PermanentFailure(f"{host} {_WRONG_KEY[code]}")
    word = code if code.isascii() and code.replace(".", "").isalnum() and len(code) <= 60 else str(status)
    if code in _PASSING or status in {408, 409, 425, 429} or status >= 500:
        return TransientFailure(f"{host} answers {word}")
    if code == str(status) == "403":
        # The answer to a HEAD has no body that says which of the two it is.
        return PermanentFailure(
            f"{host} refuses the key: check AWS_SECRET_ACCESS_KEY, and that the key has {permission} (docs/storage.md)"
        )
    if status in {401, 403} or code in {"AccessDenied", "AllAccessDisabled"}:
        return PermanentFailure(
            f"{host} says {word}: the key of AWS_ACCESS_KEY_ID {refused} there; it needs {permission} (docs/storage.md)"
        )
    return PermanentFailure(f"{host} answers {word}")


def _require_client() -> None:
    try:
        import botocore  # noqa: F401
    except ImportError:
        raise PermanentFailure(
            "CM_ARTIFACTS_URL=s3://... needs what is not installed: .venv/bin/uv pip install -e '.[s3]'"
        ) from None


@cache
def _descriptions() -> Any:
    # What was read of S3's is there for whoever is forked from this process.
    from botocore.loaders import create_loader

    return create_loader()


def _new_client() -> Any:
    _require_client()
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT,
        read_timeout=SILENCE,
        max_pool_connections=40,  # as many as there are threads that serve files
        # Digests are our own; other servers than AWS's refuse the trailers that are sent else.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="cm_assets",
    )
    try:
        client = session.create_client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise _unusable(error) from None
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
    return client


def _add_md5(request: Any, **_: Any) -> None:
    """A removal of several files says its MD5 beside botocore's own CRC32, which not every server takes for one.

    MinIO before 2025 and others answer 400 MissingContentMD5 without it.
    """
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def _unusable(error: Exception) -> PermanentFailure:
    """An address or a bucket's name that cannot be one, a profile that is not there: never a key."""
    return PermanentFailure(
        f"the artifact store cannot be used ({type(error).__name__}): check CM_ARTIFACTS_URL, AWS_ENDPOINT_URL, "
        "AWS_DEFAULT_REGION and AWS_PROFILE"
    )
