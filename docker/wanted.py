"""What pyproject.toml wants of other packages, one list an image: `python wanted.py pyproject.toml FOLDER`.

The layers of packages are built from these lists, so that a change elsewhere in pyproject.toml leaves them alone.
"""

import sys
import tomllib
from pathlib import Path

IMAGES = {"slice": (), "torch": ("train", "hub")}

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
for image, extras in IMAGES.items():
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    text = "".join(f"{line}\n" for line in sorted({line for one in lists for line in one}))
    (Path(sys.argv[2]) / f"{image}.txt").write_text(text, encoding="utf-8")
