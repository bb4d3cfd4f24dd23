"""Makes the shipped illustrations and `cldr.json` from two npm packages: for maintainers, see README.md beside it.

Usage: python build.py <folder of @lobehub/fluent-emoji-3d> <folder of emojibase-data>
"""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent

CHOICE = {
    name: frozenset(words.split()) for name, words in tomllib.loads((HERE / "choice.toml").read_text("utf-8")).items()
}


def code(hexcode: str) -> str:
    """The file name's stem: lower-case code points without the variation selector."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def code_of(emoji: str) -> str:
    """The same for the character itself."""
    return code("-".join(f"{ord(character):x}" for character in emoji))


def hand_picked() -> set[str]:
    """Codes of the illustrations that words.txt and themes.txt name."""
    found = set()
    for line in (HERE / "words.txt").read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            found |= {code_of(emoji) for emoji in line.partition(" :")[0].split()}
    for line in (HERE / "themes.txt").read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            found |= {code_of(emoji) for emoji in line.split()}
    return found


def hand_written() -> set[str]:
    """The words and phrases of words.txt: what they mean is settled there."""
    lines = (HERE / "words.txt").read_text("utf-8").splitlines()
    words = (word for line in lines if not line.startswith("#") for word in line.partition(":")[2].split(","))
    return {word.partition("(")[0].strip().lstrip("?").lower().replace("-", " ") for word in words}


def main(fluent: Path, emojibase: Path) -> None:
    """Copy the illustrations that can be chosen, and write their names and keywords."""
    pictures = {code(path.stem): path for path in (fluent / "assets").glob("*.webp")}
    names = json.loads((emojibase / "meta/groups.json").read_text("utf-8"))["subgroups"]
    picked, settled, table = hand_picked(), hand_written(), {}
    unfit = {code_of(emoji) for emoji in CHOICE["unfit"]}
    for entry in json.loads((emojibase / "en/data.json").read_text("utf-8")):
        key, label = code(entry["hexcode"]), entry["label"].lower()
        gendered = re.match(r"(wo)?m[ae]n\b|person\b", label)
        wanted = names[str(entry["subgroup"])] in CHOICE["subgroups"] if "subgroup" in entry else False
        wanted = wanted and not gendered and key not in unfit
        if key not in pictures or not (wanted or key in picked):
            continue
        keywords = [] if label in CHOICE["never"] else [label]
        keywords += sorted(tag for tag in entry.get("tags", ()) if tag in CHOICE["tags"] and tag != label)
        free = [word for word in keywords if wanted and word.replace("-", " ") not in settled]
        if free or key in picked:
            table[key] = [label, *(f"?{word}" if word in CHOICE["terms_only"] else word for word in free)]
    missing = picked - table.keys()
    if missing:
        sys.exit(f"named by hand, but not there: {sorted(missing)}")
    target = HERE / "fluent"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for key in table:
        shutil.copyfile(pictures[key], target / f"{key}.webp")
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in sorted(table.items()))
    (HERE / "cldr.json").write_text("{\n" + rows + "\n}\n", "utf-8")
    shutil.copyfile(emojibase / "LICENSE", HERE / "LICENSE-emojibase.txt")
    sys.stdout.write(f"{len(table)} illustrations\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
