"""The recipe of NotoSansSC-GBK.ttf, kept so that anybody can make the same bytes again; the product never runs it.

    npm pack @expo-google-fonts/noto-sans-sc@0.4.3        static TTFs of Noto Sans SC 2.004, SIL Open Font License 1.1
    tar xzf expo-google-fonts-noto-sans-sc-0.4.3.tgz      the licence of the font is package/LICENSE_FONT, here OFL.txt
    pip install fonttools==4.68.0                         a tool of this recipe only
    python make_subset.py package/400Regular/NotoSansSC_400Regular.ttf NotoSansSC-GBK.ttf

The reserved font name is "Source", so the subset may keep the name Noto.
"""

import hashlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

SOURCE_SHA256 = "d45f67f0a7c0ca3f256950777ce6a61cc7ce5f9696d02900cbbaac25f8aa7d16"
RESULT_SHA256 = "4a421c6fd93f8b5342f2a07cae0ca2d503200d155219e723f67700be3355decd"


def characters() -> set[int]:
    """Code points wanted: GBK, and what names and notes hold beyond it.

    GBK (the two-byte part of GB 18030) covers nearly every Chinese name. Those of 通用规范汉字表 (2013) that GBK lacks stand at the end of
    the basic block and in the supplementary planes: all that the font has there is kept.
    """
    gbk = {ord(text) for pair in _byte_pairs() if len(text := pair.decode("gb18030", "ignore")) == 1}
    latin, punctuation = set(range(0x20, 0x180)), set(range(0x2010, 0x2070))
    newer_han = set(range(0x9FA6, 0xA000)) | set(range(0x20000, 0x32000))
    return gbk | latin | punctuation | newer_han


def _byte_pairs():
    return (bytes([high, low]) for high in range(0x81, 0xFF) for low in range(0x40, 0xFF))


def make(source: str, target: str) -> str:
    """Write the subset of `source` to `target`; returns the SHA-256 of what was written."""
    options = subset.Options()
    options.layout_features = []
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "STAT", "vhea", "vmtx", "gasp", "prep"]
    options.hinting = False
    options.glyph_names = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]
    font = TTFont(source, recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters())
    subsetter.subset(font)
    font.save(target)
    return _sha256(target)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    source, target = sys.argv[1:]
    if _sha256(source) != SOURCE_SHA256:
        sys.exit(f"{source} is not the file that the subset was made from")
    made = make(source, target)
    print(made, "as committed" if made == RESULT_SHA256 else f"differs from the committed {RESULT_SHA256}")
