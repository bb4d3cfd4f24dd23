"""Artifacts on a real S3 server, with faults on the way to it."""

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cm_assets.models.artifact import ArtifactRef, LostArtifact
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets.storage import bucket as buckets
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.bucket import Bucket
from cm_assets_tests.conftest import until
from cm_assets_tests.emulators.s3_proxy import Loss, S3Proxy
from cm_assets_tests.s3 import KEY, S3, SECRET

pytestmark = pytest.mark.s3

MB = 1_000_000
SMALLEST = 5 << 20
"""Bytes of the smallest part that S3 takes."""

forked = multiprocessing.get_context("fork")


class Place:
    """A folder of a bucket, and hosts that use it."""

    def __init__(self, s3: S3, client: Any, bucket: str, folder: Path) -> None:
        self.s3, self.client, self.bucket, self.folder = s3, client, bucket, folder
        self.prefix = f"some/{uuid.uuid4().hex}"
        self.url = f"s3://{bucket}/{self.prefix}"

    def host(self, name: str = "a", limit: int = 10**9) -> ArtifactStore:
        return ArtifactStore(self.url, self.folder / name, limit)

    def file(self, size: int, name: str = "a.mp4") -> Path:
        path = self.folder / name
        path.write_bytes(os.urandom(size))
        return path

    def kept(self) -> list[str]:
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in answer.get("Contents", ())]

    def unfinished(self) -> int:
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        return len(found.get("Uploads", ()))


@pytest.fixture(scope="module")
def bucket(s3: S3) -> tuple[Any, str]:
    """A client, and a bucket that all tests share."""
    return s3.client(), s3.new_bucket()


@pytest.fixture
def place(s3: S3, bucket: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return Place(s3, *bucket, tmp_path)


@pytest.fixture
def through(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., S3Proxy]:
    """`with through(Loss(...)) as proxy`: all requests go that way."""

    def begin(*losses: Loss) -> S3Proxy:
        proxy = S3Proxy(place.s3.endpoint, losses)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        return proxy

    return begin


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "PART", SMALLEST)


def put(store: ArtifactStore, path: Path) -> ArtifactRef:
    return store.put_file("v", "render", path, "video/mp4")


@pytest.mark.parametrize("size", [0, 1, SMALLEST, 2 * SMALLEST + 7])
@pytest.mark.usefixtures("small_parts")
def test_what_one_host_stores_another_one_reads(place: Place, size: int) -> None:
    path = place.file(size)
    ref = put(place.host("a"), path)
    assert ref.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert place.kept() == [ref.key]
    assert place.host("a").address(ref) == f"{place.url}/{ref.key}"
    head = place.client.head_object(Bucket=place.bucket, Key=f"{place.prefix}/{ref.key}")
    assert (head["ContentType"], head["ContentLength"]) == ("video/mp4", size)
    with place.host("b").lend(ref) as copy:
        assert copy.read_bytes() == path.read_bytes()
    assert place.unfinished() == 0


def test_a_model_that_one_host_stores_another_one_reads_by_its_key(place: Place) -> None:
    ref = place.host("a").put_bytes("v", "script", b"{}", ".json", "application/json")
    assert place.host("b").read(ref.key) == b"{}"
    with pytest.raises(LostArtifact, match="materialize its asset again"):
        place.host("b").read("v/script/none.json")


PASSING = {
    "away for a moment": Loss("PUT", status=503, times=2),
    "asks to slow down": Loss("PUT", status=503, code="SlowDown"),
    "fails inside": Loss("PUT", status=500, code="InternalError"),
    "resets": Loss("PUT", reset=True),
    "resets in the middle": Loss("PUT", torn=100_000),
    "takes it and dies": Loss("PUT", lost=True),
}


@pytest.mark.parametrize("loss", PASSING.values(), ids=PASSING.keys())
@pytest.mark.parametrize("size", [MB, 2 * SMALLEST + 7])
@pytest.mark.usefixtures("small_parts")
def test_an_upload_outlasts_what_passes(place: Place, through: Callable[..., S3Proxy], loss: Loss, size: int) -> None:
    with through(loss):
        ref = put(place.host("a"), path := place.file(size))
    with through():
        assert place.host("b").local(ref).read_bytes() == path.read_bytes()
    assert place.unfinished() == 0


@pytest.mark.parametrize(("size", "part"), [(MB, ".mp4"), (2 * SMALLEST + 7, "partNumber=2")])
@pytest.mark.usefixtures("small_parts")
def test_what_changed_on_its_way_is_not_kept(
    place: Place, through: Callable[..., S3Proxy], size: int, part: str
) -> None:
    store, path = place.host(), place.file(size)
    with through(Loss("PUT", part, spoilt=True)):
        with pytest.raises(TransientFailure):
            put(store, path)
        assert place.kept() == []
        assert place.unfinished() == 0
        ref = put(store, path)
        assert place.host("b").local(ref).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_a_file_that_changes_while_it_is_stored_is_not_kept(place: Place) -> None:
    path = place.file(SMALLEST + 1)
    with pytest.raises(TransientFailure):
        Bucket(place.url).put(path, "v/a/x.mp4", "0" * 64, "video/mp4")
    path = place.file(100)
    with pytest.raises(TransientFailure):
        Bucket(place.url).put(path, "v/a/x.mp4", "0" * 64, "video/mp4")
    assert (place.kept(), place.unfinished()) == ([], 0)


@pytest.mark.parametrize("cuts", [[1], [100_000, 0, 500_000], [2_999_999]])
def test_a_download_that_breaks_off_goes_on_where_it_broke(
    place: Place, through: Callable[..., S3Proxy], cuts: list[int]
) -> None:
    ref = put(place.host("a"), path := place.file(3 * MB))
    with through(*(Loss("GET", cut=cut) for cut in cuts)) as proxy:
        assert place.host("b").local(ref).read_bytes() == path.read_bytes()
        assert len(proxy.requests) == len(cuts) + 1


def test_a_download_that_changed_on_its_way_is_loaded_again(place: Place, through: Callable[..., S3Proxy]) -> None:
    ref = put(place.host("a"), path := place.file(MB))
    with through(Loss("GET", spoilt=True)) as proxy:
        assert place.host("b").local(ref).read_bytes() == path.read_bytes()
        assert len(proxy.requests) == 2


def test_what_is_damaged_where_it_lies_is_refused_and_repaired_by_storing_it_again(place: Place) -> None:
    ref = put(place.host("a"), path := place.file(MB))
    place.client.put_object(Bucket=place.bucket, Key=f"{place.prefix}/{ref.key}", Body=b"something else")
    other = place.host("b")
    with pytest.raises(LostArtifact, match="damaged: materialize its asset again"):
        other.local(ref)
    assert [one for one in (place.folder / "b").rglob("*") if one.is_file()] == []
    put(place.host("a"), path)
    assert other.local(ref).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_fails_leaves_no_parts(
    place: Place, through: Callable[..., S3Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 2)
    with (
        through(Loss("PUT", "partNumber=3", reset=True, times=9)),
        pytest.raises(TransientFailure, match="does not answer as it should"),
    ):
        put(place.host(), place.file(3 * SMALLEST))
    assert (place.kept(), place.unfinished()) == ([], 0)


def test_a_writer_that_is_killed_leaves_no_artifact_and_its_parts_are_swept_up(place: Place) -> None:
    code = (
        "import sys, pathlib; from cm_assets.storage import bucket; bucket.PART = 5 << 20;"
        "from cm_assets.storage.artifacts import ArtifactStore;"
        "store = ArtifactStore(sys.argv[1], pathlib.Path(sys.argv[2]));"
        "store.put_file('v', 'a', pathlib.Path(sys.argv[3]), 'video/mp4')"
    )
    source = place.file(60 << 20)
    writer = subprocess.Popen([sys.executable, "-c", code, place.url, place.folder / "a", source])
    assert until(place.unfinished, 60, 0.005)
    writer.kill()
    writer.wait()
    assert (place.kept(), place.unfinished()) == ([], 1)
    assert Bucket(place.url).abort_abandoned() == 0  # it is not a day old
    assert Bucket(place.url).abort_abandoned("other/") == 0
    assert Bucket(place.url).abort_abandoned(age=timedelta()) == 1
    assert place.unfinished() == 0
    ref = put(place.host("a"), source)
    assert place.host("b").local(ref).stat().st_size == source.stat().st_size


def test_a_store_that_is_away_is_a_failure_that_passes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:pass-4711@127.0.0.1:9")
    ref = ArtifactRef(key="v/render/0.mp4", sha256="0" * 64, size=1, media_type="video/mp4")
    for act in (lambda: put(place.host(), place.file(1)), lambda: place.host().local(ref), place.host().check):
        with pytest.raises(TransientFailure, match="AWS_ENDPOINT_URL") as failure:
            act()
        assert "127.0.0.1:9" in str(failure.value)
        assert "4711" not in str(failure.value)


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable", "RequestTimeout"])
def test_a_store_that_stays_overloaded_is_a_failure_that_passes(
    place: Place, through: Callable[..., S3Proxy], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 2)
    status = 400 if code == "RequestTimeout" else 503
    with (
        through(Loss("PUT", status=status, code=code, times=9)),
        pytest.raises(TransientFailure, match=f"answers {code}"),
    ):
        put(place.host(), place.file(1))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-4711", "check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "no address", "AWS_ENDPOINT_URL"),
        ("AWS_ACCESS_KEY_ID", "", "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_configured_wrong_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    ref = put(place.host("a"), place.file(1))
    monkeypatch.setenv(variable, value)
    if not value:
        monkeypatch.delenv(variable)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for act in (lambda: put(place.host(), place.file(1)), lambda: place.host("b").local(ref)):
        with pytest.raises(PermanentFailure, match=words) as failure:
            act()
        assert not isinstance(failure.value, LostArtifact)
        assert all(secret not in str(failure.value) for secret in (SECRET, KEY, "4711"))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (Loss("PUT", status=404, code="NoSuchBucket"), "has no bucket cm-.* correct CM_ARTIFACTS_URL"),
        (Loss("PUT", status=403, code="AccessDenied"), "needs s3:PutObject"),
        (Loss("PUT", status=400, code="ExpiredToken"), "expired"),
        (Loss("PUT", status=301, code="PermanentRedirect"), "AWS_DEFAULT_REGION"),
        (Loss("PUT", status=400, code="<script>x"), "answers 400"),
    ],
)
def test_what_another_attempt_cannot_help_says_what_to_do(
    place: Place, through: Callable[..., S3Proxy], loss: Loss, words: str
) -> None:
    with through(loss) as proxy, pytest.raises(PermanentFailure, match=words) as failure:
        put(place.host(), place.file(1))
    assert proxy.counts["PUT"] == 1
    # The answer repeats what was sent, as some servers do.
    assert all(word not in str(failure.value) for word in (KEY, "Signature"))


def test_a_bucket_that_is_not_there_is_found_out(place: Place) -> None:
    place.host().check()
    assert place.kept() == []
    with pytest.raises(PermanentFailure, match="has no bucket nowhere-4711"):
        ArtifactStore("s3://nowhere-4711/x", place.folder / "a").check()


def test_what_was_stored_here_is_not_loaded_and_what_is_loaded_is_loaded_once(
    place: Place, through: Callable[..., S3Proxy]
) -> None:
    with through() as proxy:
        here, there = place.host("a"), place.host("b")
        ref = put(here, place.file(MB))
        model = here.put_bytes("v", "script", b"{}", ".json", "application/json")
        assert here.read(model.key) == b"{}"
        with here.lend(ref):
            pass
        assert proxy.counts == {"PUT": 2}
        threads = [threading.Thread(target=lambda: there.local(ref)) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert there.read(model.key) == place.host("b").read(model.key) == b"{}"
        assert proxy.counts == {"PUT": 2, "GET": 2}


def test_a_copy_that_is_damaged_is_noticed_and_loaded_anew(place: Place) -> None:
    ref = put(place.host("a"), path := place.file(MB))
    store = place.host("b")
    with store.lend(ref) as copy:
        pass
    for damage in (b"short", os.urandom(MB)):
        copy.write_bytes(damage)
        for one in (store, place.host("b")):
            with one.lend(ref) as again:
                assert again.read_bytes() == path.read_bytes()


def copies(place: Place, host: str) -> int:
    return sum(path.stat().st_size for path in (place.folder / host / "artifacts").iterdir())


def test_copies_keep_their_bound_and_those_in_use_stay(place: Place) -> None:
    refs = [put(place.host("a"), place.file(2 * MB, f"{number}.mp4")) for number in range(5)]
    store = place.host("b", limit=5 * MB)
    with store.lend(refs[0]) as first:
        for ref in refs[1:]:
            with store.lend(ref):
                pass
        assert first.stat().st_size == 2 * MB
        assert copies(place, "b") == 4 * MB
    with store.lend(refs[3]), store.lend(refs[2]):
        assert not first.exists()
        assert copies(place, "b") == 4 * MB


def test_what_another_process_has_in_use_stays_until_it_dies(place: Place) -> None:
    refs = [put(place.host("a"), place.file(2 * MB, f"{number}.mp4")) for number in range(3)]
    here, there = forked.Pipe()

    def hold() -> None:
        store = place.host("b", limit=0)
        there.send(store.local(refs[0]))
        time.sleep(600)

    other = forked.Process(target=hold)
    other.start()
    path = here.recv()
    with place.host("b", limit=0).lend(refs[1]):
        assert path.exists()
    other.kill()
    other.join()
    with place.host("b", limit=0).lend(refs[2]):
        assert not path.exists()


def test_processes_that_are_forked_from_a_warm_one_share_no_connection(place: Place) -> None:
    refs = [put(place.host("a"), place.file(MB, f"{number}.mp4")) for number in range(4)]
    before = set(threading.enumerate())
    warm = place.host("b")
    warm.warm()
    used = place.host("c")
    used.local(refs[0])
    assert set(threading.enumerate()) <= before

    def work(store: ArtifactStore, number: int) -> None:
        path = place.file(MB, f"{number}.flac")
        for ref in (*refs, store.put_file("w", "audio", path, "audio/flac")):
            assert store.local(ref).stat().st_size == MB

    workers = [forked.Process(target=work, args=(store, n)) for n, store in enumerate([warm, warm, used, used])]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert [one.exitcode for one in workers] == [0] * 4
    used.local(refs[3])


def test_a_video_is_removed_and_no_other_here_and_there(place: Place) -> None:
    store = place.host()
    for video in ("v1", "v11"):
        for number in range(3):
            store.put_bytes(video, "audio", f"{number}".encode(), ".flac", "audio/flac")
        model = store.put_bytes(video, "render", b"{}", ".json", "application/json")
    store.remove_media("v1", but=["render"])
    assert len([key for key in place.kept() if key.startswith("v1/")]) == 1
    for _ in range(2):
        store.remove("v1")
        assert len(place.kept()) == 4
        assert all(key.startswith("v11/") for key in place.kept())
    with pytest.raises(LostArtifact):
        store.read(model.key.replace("v11", "v1"))


def test_a_removal_that_the_store_refuses_is_said(place: Place, through: Callable[..., S3Proxy]) -> None:
    store = place.host()
    put(store, place.file(1))
    with through(Loss("POST", "delete", status=403, code="AccessDenied")):
        with pytest.raises(PermanentFailure, match="s3:DeleteObject"):
            place.host().remove("v")
        place.host().remove("v")
    assert place.kept() == []


def test_a_removal_says_its_md5_which_some_servers_insist_on(place: Place, through: Callable[..., S3Proxy]) -> None:
    put(place.host(), place.file(1))
    with through(Loss("POST", "delete", lacks="Content-MD5", status=400, code="MissingContentMD5")) as proxy:
        place.host().remove("v")
        assert proxy.counts["DELETE"] == 1
    assert place.kept() == []


def run(code: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.modules['botocore'] = None\n"
        "from cm_assets.storage.artifacts import ArtifactStore\n"
        f"try: ArtifactStore('s3://bucket/x', pathlib.Path({str(tmp_path)!r})).read('v/a/x.json')\n"
        "except Exception as error: print(error)"
    )
    assert ".venv/bin/uv pip install -e '.[s3]'" in run(code)


@pytest.mark.parametrize("url", ["", "s3://bucket/x"])
def test_a_store_costs_nothing_before_it_is_used(url: str, tmp_path: Path) -> None:
    code = "import sys, cm_assets.definitions as d; d.defs(); print({'botocore', 'upath'} & set(sys.modules))"
    assert run(code, CM_ARTIFACTS_URL=url, CM_HOME=str(tmp_path)) in {"set()", "{'upath'}"}
    code = "import sys, cm_assets.definitions as d; d.defs(); print('botocore' in sys.modules)"
    assert run(code, CM_ARTIFACTS_URL=url, CM_HOME=str(tmp_path)) == "False"


def memory(place: Place, code: str, *arguments: Any) -> float:
    """Megabytes that a process takes for some work at its peak, above what it took before."""
    program = (
        "import sys, pathlib; from cm_assets.storage.artifacts import ArtifactStore;"
        "store = ArtifactStore(sys.argv[1], pathlib.Path(sys.argv[2]), 0);"
        "store.put_bytes('w', 'a', b'{}', '.json', 'application/json');"
        "peak = lambda name: int(next(l for l in open('/proc/self/status') if l.startswith(name)).split()[1]);"
        f"before = peak('VmRSS'); {code}; print((peak('VmHWM') - before) / 1000)"
    )
    command = [sys.executable, "-c", program, place.url, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_does_not_grow_with_the_file(place: Place) -> None:
    path = place.folder / "large.mp4"
    with path.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(MB))
    code = "store.put_file('v', 'render', pathlib.Path(sys.argv[3]), 'video/mp4')"
    assert memory(place, code, place.folder / "a", path) < 40
    ref = put(place.host("a"), path)
    shutil.rmtree(place.folder / "a")
    load = "from cm_assets.models.artifact import ArtifactRef;store.local(ArtifactRef.model_validate_json(sys.argv[3]))"
    assert memory(place, load, place.folder / "b", ref.model_dump_json()) < 40
