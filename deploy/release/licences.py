"""Licences of wheels: which, and their texts."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from deploy.release.wheel import Wheel, info_folder, metadata
from edge.errors import RejectedError

UNKNOWN = "NOASSERTION"
_SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What older metadata says instead of an SPDX expression; classifiers by their last part."""
_IS_TEXT = re.compile(r"(licen[cs]e|copying|notice|authors|copyright|e[pd]l-v)[^/]*$", re.IGNORECASE)
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Licence:
    """Of one wheel."""

    expression: str
    """SPDX expression; NOASSERTION where the wheel says nothing that can be read."""
    texts: tuple[tuple[str, bytes], ...]
    """Paths below its folder in LICENSES/, and contents."""


def licence_of(wheel: Wheel, apache: bytes) -> Licence:
    """Licence of a wheel. RejectedError when it carries no text and has not the one that we have at hand, Apache's."""
    said = metadata(wheel.path)
    expression = _expression(said)
    with zipfile.ZipFile(wheel.path) as archive:
        texts = tuple(_texts(archive, info_folder(archive, wheel.path)))
    if not texts and expression == "Apache-2.0":
        # The licence asks for its text with every copy; these wheels leave it out.
        texts = (("Apache-2.0.txt", apache),)
    if not texts:
        problem = f"no text of its licence ({expression})"
        hint = "Whoever gets a release must get its licences: choose a version whose wheel has them."
        raise RejectedError(problem, where=wheel.path.name, expected="a file like LICENSE in the wheel", hint=hint)
    return Licence(expression, texts)


def _expression(said: Message) -> str:
    candidates = [said.get("License-Expression"), said.get("License")]
    rows = said.get_all("Classifier", [])
    candidates += [row.rpartition("::")[2].strip() for row in rows if row.startswith("License :: OSI Approved ::")]
    for text in candidates:
        if text and (known := _canonical(str(text).strip())):
            return known
    return UNKNOWN


def _canonical(text: str) -> str | None:
    try:
        return str(canonicalize_license_expression(_SPELLINGS.get(text.lower(), text)))
    except InvalidLicenseExpression:
        return None


def _texts(archive: zipfile.ZipFile, info: str) -> Iterator[tuple[str, bytes]]:
    """Those of the .dist-info folder; where there are none, whatever in the wheel is called so."""
    names = [
        member.filename for member in archive.infolist() if not member.is_dir() and member.file_size <= _MOST_BYTES
    ]
    inside = [
        name for name in names if name.startswith(info) and (_is_text(name) or name.startswith(f"{info}licenses/"))
    ]
    for name in sorted(inside or filter(_is_text, names)):
        short = name.removeprefix(info).removeprefix("licenses/")
        yield _harmless(short), archive.read(name)


def _is_text(name: str) -> bool:
    return _IS_TEXT.search(name) is not None and not name.endswith((".py", ".pyi", ".so"))


def _harmless(name: str) -> str:
    """A path that stays below its folder, whoever made the wheel."""
    parts = [part for part in Path(name).parts if part not in {"..", "/", "."}]
    return "/".join(parts)
