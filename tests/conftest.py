"""What every test may ask for: real data, texts at the edge, and hypothesis profiles.

Tests are not a package, so what they share are fixtures: `real_data`, `real_file`, `edge_text`, `edge_texts`.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bucket import Bucket

# No test reaches the Hub, or leaves files in the user's caches. `datasets` reads this when it is first imported.
CACHE: Final = tempfile.TemporaryDirectory(prefix="curate-tests-")
atexit.register(CACHE.cleanup)
os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=CACHE.name, CURATE_BUCKETS=f"{CACHE.name}/buckets")
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the table of letter case, which takes 5 s to compile
    os.environ["XDG_CACHE_HOME"] = CACHE.name

settings.register_profile("quick", max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("quick"), max_examples=100, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use every core, but one process for a bench, for a few named tests, and where output is to be seen (`-s`)."""
    alone = config.option.capture == "no" or any("::" in name or "bench" in name for name in config.args)
    return 0 if alone else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the thorough tests to the run with real data."""
    if os.environ.get("CURATE_REAL_DATA"):
        return
    for item in items:
        if item.get_closest_marker("thorough") is not None:
            item.add_marker(pytest.mark.skip(reason="thorough: runs with the tests on real data"))


EDGE_TEXTS: Final[dict[str, str]] = {
    "empty": "",
    "space": " ",
    "whitespace": " \t\n\v\f\r\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u3000",
    "lone_cr": "one\rtwo\r\nthree\n",
    "literal_escape": "not a line break: \\n, not a tab: \\t, a backslash: \\",
    "one_letter": "x",
    "huge_word": "a" * 100_000,
    "10_mb": "All work and no play. " * (10_000_000 // 22),
    "no_spaces_cjk": "你好世界。今天天气怎么样？我不知道。" * 3,
    "japanese": "ｶﾀｶﾅ カタカナ ひらがな 漢字 ＡＢＣ１２３",
    "hangul_decomposed": "한글",
    "thai": "ฉันเป็นแบบจำลองภาษา",
    "arabic": "مرحبا بالعالم، كيف حالك؟",
    "hebrew_and_latin": "שלום world שלום",
    "direction_marks": "abc\u202edef\u202cghi\u200f\u2066jkl\u2069",
    "emoji": "\U0001f600\U0001f44d\U0001f3fd\u2764\ufe0f",
    "emoji_joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308",
    "flag": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "combining": "e\u0301a\u0300\u0323o\u0308",
    "combining_only": "\u0301\u0301\u0301",
    "zalgo": "Z" + "\u0300\u0301\u0302\u0303" * 500 + "!",
    "turkish_i": "İstanbul ırmak I i",
    "sharp_s": "Straße STRASSE ẞ",
    "greek_sigma": "ΟΔΥΣΣΕΥΣ ὀδυσσεύς σ ς",
    "ligature": "ﬁnance oﬀer ǆ ŉ",
    "compatibility": "①②③ ℌ ½ ㎏ ™ ª",
    "curly_quotes": "I don’t “know” ‘why’ I don't",
    "look_alikes": "аpple (Cyrillic a) Αpple (Greek A)",
    "zero_width": "a\u200bb\u200cc\u200dd\ufeffe",
    "byte_order_mark": "\ufeffHello.",
    "soft_hyphen": "lan\u00adguage mod\u00adel",
    "control": "a\x01b\x08c\x1bd\x7fe",
    "replacement": "a\ufffdb",
    "private_use": "\ue000\U0010fffd",
    "noncharacter": "\uffff\U0010ffff",
    "code": "```python\nfor i in range(3):\n\tprint(i)  # two  spaces\n```\n",
    "markup": '<script>alert("&amp;")</script> {{ x }} {% y %} ${z} %s %(a)s {0}',
    "json": '{"role": "user", "content": "\\u0041\\n"}',
    "template": "<|im_start|>assistant\n[INST] </s> \n\nHuman: hi\n\nAssistant: hello",
    "url": "https://example.org/a?b=c&d=%20#e",
    "formula": "=SUM(A1:A9), +1, -1, @x",
    "numbers": "1,234.50 ١٢٣ 1e9 0x1F −5",
}
"""Texts that break careless code. NUL and lone surrogates are left out: no row holds them, the door turns them away."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; without `CURATE_REAL_DATA` the test skips, with a wrong one it fails."""
    name = os.environ.get("CURATE_REAL_DATA")
    if not name:
        pytest.skip("needs real data: set CURATE_REAL_DATA to its folder")
    folder = Path(name).absolute()
    if not folder.is_dir():
        pytest.fail(f"CURATE_REAL_DATA={name} is no folder")
    return folder


@pytest.fixture(scope="session")
def real_file(real_data: Path) -> Callable[[str], Path]:
    """Return the path of one real file, as in `real_file("sft/lima.json")`; a file that is missing fails the test."""

    def find(name: str) -> Path:
        path = real_data / name
        if not path.exists():
            pytest.fail(f"{name} is missing from CURATE_REAL_DATA={real_data}")
        return path

    return find


@pytest.fixture(params=list(EDGE_TEXTS.values()), ids=list(EDGE_TEXTS))
def edge_text(request: pytest.FixtureRequest) -> str:
    """One text at the edge; a test that asks for it runs once for each."""
    text = request.param
    assert isinstance(text, str)
    return text


@pytest.fixture(scope="session")
def edge_texts() -> dict[str, str]:
    """All texts at the edge, by name."""
    return dict(EDGE_TEXTS)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds be without page and card, in tests of their other files that make many: up to half of the time."""
    from curate.result.build import Build

    monkeypatch.setattr("curate.mixture.write_page_and_card", lambda folder, *_: Build(folder))


@pytest.fixture
def words_tokenizer(tmp_path: Path) -> Path:
    """The folder of a `tokenizer.json` that knows three words."""
    import tokenizers

    words = {"one": 0, "two": 1, "three": 2, "?": 3}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="?"))  # noqa: S106
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (tmp_path / "words").mkdir()
    model.save(str(tmp_path / "words" / "tokenizer.json"))
    return tmp_path / "words"


@pytest.fixture(scope="module")
def served_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """The bucket of `s3://bucket`, on loopback."""
    for package in ("fsspec", "s3fs", "moto"):
        pytest.importorskip(package)
    from tests.support.bucket import bucket

    with bucket(tmp_path_factory.mktemp("copies")) as served:
        yield served


@pytest.fixture
def store(served_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The bucket of `s3://bucket`, empty, with copies in a folder of its own, and nothing of ours waits."""
    from curate.io.stores.drivers import WAITS

    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "copies"))
    monkeypatch.setattr("curate.io.stores.drivers.WAITS", (0.0,) * len(WAITS))
    served_bucket.remove(*served_bucket.names())
    served_bucket.requests.clear()
    served_bucket.failures.clear()
    served_bucket.share = 0.0
    return served_bucket
