"""Files that users have handed in: a row of the database each, and the bytes in the artifact store.

Every host of a home sees both. A row is there before its file and goes after it, and is not `ready` meanwhile: whoever
is killed in between leaves a row that says where something may lie, and the next look takes both away.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm_assets.models.artifact import ArtifactRef, LostArtifact
from cm_assets.models.base import PermanentFailure, TransientFailure
from cm_assets.models.upload import Upload, UploadId, UploadKind, upload_id

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cm_assets.storage.artifacts import ArtifactStore
    from cm_assets.storage.database import Database

FOLDER = "_uploads"
"""Of the artifact store. No video's id begins so."""

ABANDONED = timedelta(hours=1)
"""After which nobody stores or removes a file any more that is not ready: either takes minutes."""


class UnknownUpload(KeyError):
    """There is no upload of this id."""


class UploadInUse(Exception):
    """An open request names the upload; says which."""


class Uploads:
    """The files that users have handed in.

    Args:
        database: their rows.
        store: their bytes.
    """

    def __init__(self, database: "Database", store: "ArtifactStore") -> None:
        self._database = database
        self._store = store

    def keep(
        self,
        path: Path,
        sha256: str,
        *,
        kind: UploadKind,
        name: str,
        media_type: str,
        seconds: float | None,
        width: int | None,
        height: int | None,
    ) -> tuple[Upload, bool]:
        """Keep a copy of a file that was examined; the upload, and whether it is a new one.

        Args:
            path: of the file; its ending is kept.
            sha256: of its content.
            kind: what it is for.
            name: as its user calls it.
            media_type: such as `video/mp4`.
            seconds: as in `Upload`.
            width: likewise.
            height: likewise.

        Raises:
            TransientFailure: it took so long that it was taken for abandoned.
        """
        from sqlalchemy.exc import IntegrityError

        from cm_assets.storage.tables import uploads

        place, now = secrets.token_hex(16), datetime.now(UTC)
        row: dict[str, Any] = {
            "place": place,
            "id": sha256[:32],
            "kind": kind,
            "name": name,
            "seconds": seconds,
            "width": width,
            "height": height,
            "sha256": sha256,
            "size": path.stat().st_size,
            "key": "",
            "media_type": media_type,
            "uploaded_at": now,
            "used_at": now,
            "ready": False,
        }
        with self._database.writing() as connection:
            connection.execute(uploads.insert().values(row))
        ref = self._store.put_file(FOLDER, place, path, media_type)
        chosen = (uploads.c.place == place) & ~uploads.c.ready
        try:
            with self._database.writing() as connection:
                done = connection.execute(uploads.update().where(chosen).values(ready=True, key=ref.key))
        except IntegrityError:
            # The same content came at the same time, and was there first.
            self._drop(place)
            known = self.known(sha256)
            if known is None:
                raise TransientFailure("the same file was removed in this moment: hand it in again") from None
            return known, False
        if not done.rowcount:
            self._store.remove(f"{FOLDER}/{place}")
            raise TransientFailure("it took too long to store the file: hand it in again")
        return _upload(row | {"key": ref.key}), True

    def known(self, sha256: str) -> Upload | None:
        """The upload of this content, if there is one; it counts as used now."""
        from cm_assets.storage.tables import uploads

        chosen = uploads.c.ready & (uploads.c.sha256 == sha256)
        with self._database.writing() as connection:
            connection.execute(uploads.update().where(chosen).values(used_at=datetime.now(UTC)))
            row = connection.execute(uploads.select().where(chosen)).one_or_none()
        return None if row is None else _upload(row._asdict())

    def find(self, ids: Collection[UploadId]) -> Mapping[UploadId, Upload]:
        """The uploads of these ids; nothing for those that there are none of."""
        return find(self._database, ids)

    def get(self, found: UploadId) -> Upload:
        """The upload of an id.

        Raises:
            UnknownUpload: there is none.
        """
        try:
            return self.find([found])[found]
        except KeyError:
            raise UnknownUpload(found) from None

    def named(self, name: str, kind: UploadKind) -> Upload:
        """The upload that a request names.

        Raises:
            PermanentFailure: it is gone, or of the other kind.
        """
        upload = self.find([found]).get(found) if (found := upload_id(name)) else None
        if upload is None:
            raise PermanentFailure(f"{name} is not there any more: hand the file in again (cm upload FILE), then retry")
        if upload.kind != kind:
            raise PermanentFailure(f"{name} is a {upload.kind} and not a {kind}")
        return upload

    def local(self, upload: Upload) -> Path:
        """A path of its file on this machine.

        Raises:
            LostArtifact: it is not there, or is not what it was.
            Failure: it cannot be had.
        """
        try:
            return self._store.local(upload.file)
        except LostArtifact:
            raise LostArtifact(
                f"the file of {upload.named} is missing or damaged: remove it, and hand it in again"
            ) from None

    def all(self, limit: int, after: UploadId | None = None) -> list[Upload]:
        """Uploads, the newest first.

        Args:
            limit: at most so many.
            after: only those that come after this one in this order.

        Raises:
            UnknownUpload: there is no upload `after`.
        """
        from cm_assets.storage.tables import uploads

        query = uploads.select().where(uploads.c.ready).order_by(uploads.c.uploaded_at.desc(), uploads.c.id)
        if after is not None:
            last = self.get(after)
            same = (uploads.c.uploaded_at == last.uploaded_at) & (uploads.c.id > last.id)
            query = query.where((uploads.c.uploaded_at < last.uploaded_at) | same)
        with self._database.reading() as connection:
            return [_upload(row._asdict()) for row in connection.execute(query.limit(limit))]

    def remove(self, found: UploadId) -> None:
        """Remove an upload and its file.

        Raises:
            UnknownUpload: there is none.
            UploadInUse: an open request names it.
        """
        from cm_assets.storage.tables import uploads

        chosen = uploads.c.ready & (uploads.c.id == found)
        with self._database.writing() as connection:
            row = connection.execute(uploads.select().where(chosen)).one_or_none()
            # The write comes before the look at the requests: whoever stores one now waits for it, or is seen.
            if row is None or not connection.execute(_put_away(row.place)).rowcount:
                raise UnknownUpload(found)
            if video := _who_names(connection, found):
                raise UploadInUse(f"{video} names it: let that end, or cm cancel {video}")
        self._drop(row.place)

    def expired(self, until: datetime) -> Iterator[Upload]:
        """Remove what was not used since a time and no open request names; each as it goes."""
        from cm_assets.storage.tables import uploads

        query = uploads.select().where(uploads.c.ready & (uploads.c.used_at <= until)).order_by(uploads.c.used_at)
        with self._database.reading() as connection:
            old = [_upload(row._asdict()) for row in connection.execute(query)]
        for upload in old:
            try:
                self.remove(upload.id)
            except (UploadInUse, UnknownUpload):
                continue
            yield upload

    def sweep(self, now: datetime) -> int:
        """Take away what somebody left who was killed while he stored or removed it; how many."""
        import sqlalchemy as sa

        from cm_assets.storage.tables import uploads

        left = ~uploads.c.ready & (uploads.c.used_at <= now - ABANDONED)
        with self._database.reading() as connection:
            places = list(connection.scalars(sa.select(uploads.c.place).where(left)))
        for place in places:
            self._drop(place)
        return len(places)

    def _drop(self, place: str) -> None:
        from cm_assets.storage.tables import uploads

        self._store.remove(f"{FOLDER}/{place}")
        with self._database.writing() as connection:
            connection.execute(uploads.delete().where((uploads.c.place == place) & ~uploads.c.ready))


def find(database: "Database", ids: Collection[UploadId]) -> dict[UploadId, Upload]:
    """The uploads of these ids, without a look at their files."""
    from cm_assets.storage.tables import uploads

    if not ids:
        return {}
    with database.reading() as connection:
        rows = connection.execute(uploads.select().where(uploads.c.ready & uploads.c.id.in_(ids)))
        return {row.id: _upload(row._asdict()) for row in rows}


def count_uploads(database: "Database") -> tuple[int, int]:
    """How many files there are, and the bytes that they take; those included that come or go."""
    import sqlalchemy as sa

    from cm_assets.storage.tables import uploads

    with database.reading() as connection:
        count, taken = connection.execute(sa.select(sa.func.count(), sa.func.sum(uploads.c.size))).one()
    return int(count), int(taken or 0)


def use(connection: "sa.Connection", ids: Collection[UploadId]) -> frozenset[UploadId]:
    """In the transaction that stores a request: note that its uploads are used; those that there are none of."""
    from cm_assets.storage.tables import uploads

    gone = set()
    # In an order, or two requests that name the same ones could wait for each other.
    for one in sorted(ids):
        chosen = uploads.c.ready & (uploads.c.id == one)
        if not connection.execute(uploads.update().where(chosen).values(used_at=datetime.now(UTC))).rowcount:
            gone.add(one)
    return frozenset(gone)


def _put_away(place: str) -> "sa.Update":
    from cm_assets.storage.tables import uploads

    chosen = (uploads.c.place == place) & uploads.c.ready
    return uploads.update().where(chosen).values(ready=False, used_at=datetime.now(UTC))


def _who_names(connection: "sa.Connection", found: UploadId) -> str | None:
    """An open request that names an upload."""
    import sqlalchemy as sa

    from cm_assets.storage.tables import requests

    names = sa.cast(requests.c.document, sa.Text).contains(f"upload:{found}")
    row = connection.execute(sa.select(requests.c.id).where(requests.c.wanted, names).limit(1)).one_or_none()
    return None if row is None else str(row.id)


def _upload(row: Mapping[str, Any]) -> Upload:
    at = row["uploaded_at"]
    return Upload(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        seconds=row["seconds"],
        width=row["width"],
        height=row["height"],
        uploaded_at=at if at.tzinfo else at.replace(tzinfo=UTC),
        file=ArtifactRef(key=row["key"], sha256=row["sha256"], size=row["size"], media_type=row["media_type"]),
    )
