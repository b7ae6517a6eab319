"""Codes of languages: which three letters (ISO 639-3) stand for the two of ISO 639-1.

Models name languages either way: lid.176 says `en`, lid.218 and GlotLID say `eng_Latn`. Macrolanguages have the codes
of what these two models tell apart: `ar` is `ara`, or `arb`, Standard Arabic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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
"""The first code is that of the language as a whole."""


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


def codes_of(code: str) -> tuple[str, ...]:
    """Return the three-letter codes that a code of two or three letters means."""
    return TWO_LETTERS.get(code, (code,))
