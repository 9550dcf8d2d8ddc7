"""Which files are masks, by their names and those of the folders around them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath

# A word that ends so, or is that, names a mask: gmseg, pseudo_seg, brainmask, labelsTr; but not masked.
_STRONG = re.compile(
    r"(seg|segm|segmentation|mask|label|annotation|(ot)?multiclass)s?(tr|ts)?\d*(?![a-z])", re.IGNORECASE
)
# So may a mask be named, but a picture too: roi_7 is what was cut out, or the mask of 7.
_WEAK = re.compile(r"(?<![a-z])(gt|roi|truth|manual)(?![a-z])", re.IGNORECASE)
_IMAGE = re.compile(r"(?<![a-z])(image|img)s?(tr|ts)?(?![a-z])", re.IGNORECASE)
_DATA_SET = re.compile(r".+[-_ ]segmentation", re.IGNORECASE)  # lgg-mri-segmentation/ is a data set's name
_SEPARATORS = re.compile(r"[-_. ]+")


def folder_kind(folder: str) -> str:
    """What a folder of this name holds: "images", "masks", or "" where it does not say.

    Example:
        >>> folder_kind("imagesTr"), folder_kind("Labels"), folder_kind("p1")
        ('images', 'masks', '')
    """
    return "images" if _IMAGE.fullmatch(folder) else "masks" if _STRONG.fullmatch(folder) else ""


def masks_among(names: Iterable[str]) -> dict[str, bool]:
    """The names of masks, and whether there is an image among the names that it could be the mask of.

    A mask has a word for it in its name, or in that of the nearest folder that says what it holds. Where that is but a
    weak one (gt, roi, truth, manual), it takes the image, too: else the file is an image itself.

    Args:
        names: paths without the files' endings, from a common folder on.

    Example:
        >>> masks_among(["a", "a_mask", "roi_a", "roi_b", "masks/c"])
        {'a_mask': True, 'roi_a': True, 'masks/c': False}
    """
    words = {name: _word(name) for name in names}
    images = _Images(name for name, word in words.items() if word is None)
    weak = [name for name, word in words.items() if word is _WEAK and not images.has_one_of(name, _WEAK)]
    words |= dict.fromkeys(weak)
    images.add(weak)
    return {name: images.has_one_of(name, word) for name, word in words.items() if word is not None}


def _word(name: str) -> re.Pattern | None:
    """By which words a file would be a mask; None: it is an image."""
    *folders, file = PurePath(name).parts
    if _STRONG.search(file):
        return _STRONG
    for folder in reversed(folders):
        if folder_kind(folder) == "images" or _DATA_SET.fullmatch(folder):
            break
        for words in (_STRONG, _WEAK):
            if words.search(folder):
                return words
    return _WEAK if _WEAK.search(file) else None


class _Images:
    """What images are named apart from words for images and masks, and the beginnings of that."""

    def __init__(self, names: Iterable[str]):
        self.whole, self.begun = set[str](), set[str]()
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            key = _bare(name, _IMAGE)
            self.whole.add(key)
            self.begun.update(_beginnings(key))

    def has_one_of(self, mask: str, word: re.Pattern) -> bool:
        """Whether one of them begins as the mask is named, or the mask as one of them."""
        key = _bare(mask, word)
        return key in self.begun or any(start in self.whole for start in _beginnings(key))


def _bare(name: str, word: re.Pattern) -> str:
    """A name without the word and without the folders that say what they hold: p1/7 of p1/masks/roi_7."""
    *folders, file = PurePath(name).parts
    kept = [folder for folder in folders if not any(kind.search(folder) for kind in (_IMAGE, _STRONG, _WEAK))]
    return "/".join([*kept, "_".join(filter(None, _SEPARATORS.split(word.sub("_", file))))]).lower()


def _beginnings(key: str) -> Iterator[str]:
    """p1/, p1/a, p1/a_b of p1/a_b."""
    head, slash, file = key.rpartition("/")
    parts = file.split("_")
    yield from (head + slash + "_".join(parts[:end]) for end in range(len(parts) + 1))
