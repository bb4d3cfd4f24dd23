"""A real S3 server (SeaweedFS) of the tests' own, on free ports, thrown away afterwards."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET = "cm-tests", "open-sesame-4711"


@dataclass(frozen=True)
class S3:
    """A running server.

    Attributes:
        endpoint: its address.
        process: the server's.
    """

    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def variables(self) -> dict[str, str]:
        """What whoever uses it needs in the environment: the standard names."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Of botocore, to look at what is there."""
        return client(self.variables)

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"cm-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


def client(variables: Mapping[str, str]) -> Any:
    """Of botocore, for the server that these variables name."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )


def keys(variables: Mapping[str, str], url: str) -> list[str]:
    """What lies under `s3://bucket/folder`, without these."""
    bucket, _, folder = url.removeprefix("s3://").partition("/")
    pages = client(variables).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    return [one["Key"].removeprefix(f"{folder}/") for page in pages for one in page.get("Contents", ())]


def content(variables: Mapping[str, str], url: str) -> bytes:
    """Of `s3://bucket/key`."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bytes(client(variables).get_object(Bucket=bucket, Key=key)["Body"].read())


@contextmanager
def server(folder: Path, host: str = "127.0.0.1") -> Iterator[S3]:
    """A running server whose files lie in a folder.

    Args:
        folder: for its files; made if it is not there.
        host: the address that it listens at, one of this machine's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = _free_ports(host, 8)
    names = ("master", "volume", "filer", "s3")
    options = [f"-{name}.port={ports[2 * i]}" for i, name in enumerate(names)]
    # Else it takes fixed ports as well, and only one server runs at a time.
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    options += [f"-{name}.port.grpc={ports[2 * i + 1]}" for i, name in enumerate(names)]
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-s3.config={folder / 's3.json'}"),
                *(f"-dir={folder / 'data'}", f"-ip={host}", f"-ip.bind={host}", "-volume.max=200", *options),
                *("-master.volumeSizeLimitMB=256", "-master.volumePreallocate=false", "-volume.index=memory"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            # A volume for each bucket, of which there are many here; by itself it makes seven.
            env={**os.environ, "HOME": str(folder), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        )
    s3 = S3(f"http://{host}:{ports[6]}", process)
    try:
        _wait(s3, folder / "log")
        yield s3
    finally:
        process.kill()
        process.wait()


def _wait(s3: S3, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not _stores(s3):
        if time.monotonic() > deadline or s3.process.poll() is not None:
            raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _stores(s3: S3) -> bool:
    """Whether it keeps what it is given: it answers earlier than that."""
    client = s3.client()
    try:
        bucket = s3.new_bucket()
        client.put_object(Bucket=bucket, Key="probe", Body=b"probe")
        kept = client.get_object(Bucket=bucket, Key="probe")["Body"].read() == b"probe"
        client.delete_object(Bucket=bucket, Key="probe")
        client.delete_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError):
        return False
    return bool(kept)


def _free_ports(host: str, count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]
