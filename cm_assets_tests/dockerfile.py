"""`deploy/docker/Dockerfile`, read: what its image has, for a test image that cannot drift from it."""

import re
from pathlib import Path

import cm_assets

CHECKOUT = Path(cm_assets.__file__).parents[1]
FOLDER = CHECKOUT / "deploy" / "docker"

METADATA = ("ENV", "USER", "WORKDIR", "EXPOSE", "HEALTHCHECK", "CMD", "ENTRYPOINT", "STOPSIGNAL", "LABEL")
"""Instructions that say something of an image and put nothing into it."""


def instructions() -> list[tuple[str, str]]:
    """All instructions of the file, each with its rest in one line."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [(word, rest) for line in lines if line.strip() for word, rest in [line.split(None, 1)]]


def stage(name: str) -> list[tuple[str, str]]:
    """The instructions of one stage, its FROM first."""
    found: list[tuple[str, str]] = []
    for word, rest in instructions():
        if word == "FROM":
            inside = rest.endswith(f" AS {name}")
        if inside:
            found.append((word, rest))
    return found


def metadata() -> list[str]:
    """The last stage's instructions that `docker import --change` takes."""
    return [f"{word} {rest}" for word, rest in stage("runtime") if word in METADATA]


def copied(name: str) -> list[tuple[list[str], str]]:
    """What a stage copies out of the checkout: the sources and the folder that they come to."""
    found = []
    for word, rest in stage(name):
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            found.append((sources, target))
    return found


def user() -> int:
    """The uid that the image's processes have."""
    (rest,) = [rest for word, rest in stage("runtime") if word == "USER"]
    return int(rest.partition(":")[0])
