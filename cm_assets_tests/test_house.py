"""The house keeps its shape: imports run downwards, and what is heavy is imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import cm_assets

ROOT = Path(cm_assets.__file__).parent

FLOORS = [
    {
        "cli",
        "cli_calendar",
        "cli_connect",
        "cli_doctor",
        "cli_follow",
        "cli_list",
        "cli_serve",
        "cli_shared",
        "cli_up",
        "cli_uploads",
        "cli_videos",
        "cli_worker",
        "web",
    },
    {"client"},
    {"definitions"},
    {"orchestration"},
    {"assets"},
    {"checks"},
    {"resources"},
    {"lifecycle"},
    {"engines"},
    {"media"},
    {"storage"},
    {"models"},
    {"settings", "policies", "partitions", "logs"},
]
LEVEL = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "cm_assets":
                names = [f"cm_assets.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("cm_assets.")}
    return found


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir()}
    assert rooms - {"__init__", "__pycache__", "py"} == set(LEVEL)


def test_imports_run_downwards() -> None:
    upwards = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in ROOT.rglob("*.py")
        if (room := path.relative_to(ROOT).parts[0].removesuffix(".py")) in LEVEL
        for other in imports(path)
        if LEVEL[other] < LEVEL[room]
    ]
    assert upwards == []


def test_no_dagster_below_the_resources() -> None:
    for room in ("engines", "media", "storage", "models"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            assert "import dagster" not in text, path
            assert "from dagster" not in text, path


def test_private_modules_of_dagster_are_touched_in_one_room() -> None:
    for path in ROOT.rglob("*.py"):
        if "dagster._" in path.read_text():
            assert path.relative_to(ROOT).parts[0] == "orchestration", path


def test_the_command_line_starts_without_dagster() -> None:
    code = "import sys, cm_assets.cli; print(sorted({'dagster', 'numpy', 'av', 'openai'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_definitions_load_no_engine_and_no_database() -> None:
    heavy = "{'numpy', 'av', 'openai', 'onnxruntime', 'sumy', 'PIL', 'hibari', 'ffmpeg', 'sqlalchemy'}"
    code = f"import sys, cm_assets.definitions; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
