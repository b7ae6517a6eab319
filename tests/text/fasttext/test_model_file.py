"""A model file is read as it is, and nothing that it says of itself is believed."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from curate.errors import FormatError, SourceNotFoundError
from curate.steps.filters.language import OWN_DIGEST, _own_model
from curate.text.fasttext.model_file import load_classifier

HEADER = 2 * 4 + 12 * 4 + 8
DIM, NGRAMS, LOSS, KIND, BUCKETS, SHORTEST = (8 + 4 * place for place in (0, 5, 6, 7, 8, 9))


def tiny(kind: int = 3, labels: tuple[bytes, ...] = (b"__label__x", b"__label__y")) -> bytes:
    """Write the smallest model by hand: two columns, one word, softmax, no n-grams."""
    head = struct.pack("<ii12id", 793712314, 12, 2, 5, 1, 1, 5, 1, 3, kind, 0, 0, 0, 100, 0.0)
    words = struct.pack("<iiiqq", 1 + len(labels), 1, len(labels), 3, -1) + b"hi\0" + struct.pack("<qb", 5, 0)
    words += b"".join(label + b"\0" + struct.pack("<qb", 2, 1) for label in labels)
    rows = b"\0" + struct.pack("<qq2f", 1, 2, 1.0, -1.0)
    return head + words + rows + b"\0" + struct.pack(f"<qq{2 * len(labels)}f", len(labels), 2, *range(2 * len(labels)))


def patched(data: bytes, at: int, layout: str, value: float) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<" + layout, changed, at, value)
    return bytes(changed)


def written(folder: Path, data: bytes) -> Path:
    path = folder / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    return path


def test_a_small_model(tmp_path: Path) -> None:
    path = written(tmp_path, tiny())
    model = load_classifier(path)
    assert model.labels == ("x", "y")
    assert model.digest == hashlib.sha256(tiny()).hexdigest()
    assert model.weights.rows.tolist() == [[1.0, -1.0]]
    assert model.weights.output.tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert not any(array.flags.writeable for array in model.weights)
    assert load_classifier(str(path)) is model


def test_a_model_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(tiny())
    first = load_classifier(path)
    path.write_bytes(tiny(labels=(b"__label__x", b"__label__z")))
    os.utime(path, ns=(1, 1))
    assert load_classifier(path).labels == ("x", "z") != first.labels


def test_labels_that_are_no_text_or_have_no_prefix(tmp_path: Path) -> None:
    assert load_classifier(written(tmp_path, tiny(labels=(b"\xff\xfe", "__label__日本".encode())))).labels == (
        "\ufffd\ufffd",
        "日本",
    )


def test_own_model() -> None:
    model = load_classifier(_own_model())
    assert model.digest == OWN_DIGEST
    assert len(model.labels) == 176
    assert model.weights.rows.shape == (50_000, 16)
    assert np.isfinite(model.weights.rows).all()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"there is no model at .*none\.bin: No such file"):
        load_classifier(tmp_path / "none.bin")
    with pytest.raises(SourceNotFoundError, match="is no file; give the path"):
        load_classifier(tmp_path)


WRONG = {
    "empty": (b"", "it is too short"),
    "text": (b"just some text, and more of it", "it does not begin as one"),
    "version": (patched(tiny(), 4, "i", 13), "its file version is 13"),
    "vectors": (tiny(kind=1), "it holds word vectors and no labels"),
    "no columns": (patched(tiny(), DIM, "i", 0), "its settings make no sense"),
    "many columns": (patched(tiny(), DIM, "i", 2**31 - 1), "has 2 columns, not"),
    "negative n-grams": (patched(tiny(), NGRAMS, "i", -2), "its settings make no sense"),
    "no loss": (patched(tiny(), LOSS, "i", 9), "its settings make no sense"),
    "word n-grams in no bucket": (patched(tiny(), NGRAMS, "i", 2), "fewer rows than words and buckets"),
    "buckets without rows": (
        patched(patched(tiny(), NGRAMS, "i", 2), BUCKETS, "i", 2**31 - 1),
        "fewer rows than words and buckets",
    ),
    "many words": (
        patched(patched(tiny(), HEADER, "i", 2**31 - 1), HEADER + 4, "i", 2**31 - 3),
        "ends within its words",
    ),
    "no labels": (patched(patched(tiny(), HEADER + 4, "i", 3), HEADER + 8, "i", 0), "do not add up"),
    "labels before words": (patched(tiny(), HEADER + 28 + 3 + 8, "b", 1), "labels do not follow its words"),
    "pruned, not quantized": (patched(tiny(), HEADER + 20, "q", 0), "it is pruned and not quantized"),
    "many pruned": (patched(tiny(), HEADER + 20, "q", 2**60), "it ends before"),
    "many rows": (patched(tiny(), len(tiny()) - 33 - 24, "q", 2**60), "it ends before"),
    "negative rows": (patched(tiny(), len(tiny()) - 33 - 24, "q", -1), "a matrix of -1 rows"),
    "not finite": (patched(tiny(), len(tiny()) - 4, "f", float("nan")), "a weight is no finite number"),
    "few outputs": (patched(tiny(), len(tiny()) - 32, "q", 1), "fewer outputs than labels"),
    "mad counts": (
        patched(patched(tiny(), LOSS, "i", 1), HEADER + 28 + 3 + 9 + 11, "q", -1),
        "counts that make no sense",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(tmp_path: Path, name: str) -> None:
    data, why = WRONG[name]
    path = written(tmp_path, data)
    with pytest.raises(FormatError, match=f"{path.name} is no supervised fastText model .*{why}"):
        load_classifier(path)


def test_any_cut_is_noticed(tmp_path: Path) -> None:
    data = tiny()
    path = tmp_path / "cut.bin"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match="is no supervised fastText model"):
            load_classifier(path)


def test_a_quantized_model_cut_or_patched(tmp_path: Path) -> None:
    data = _own_model().read_bytes()
    draw = np.random.default_rng(3)
    path = tmp_path / "cut.ftz"
    for size in draw.integers(0, len(data), 30):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match="is no supervised fastText model"):
            load_classifier(path)
    for at in draw.integers(0, 200, 60):  # the header, the first words
        path.write_bytes(patched(data, int(at), "i", int(draw.integers(-(2**31), 2**31))))
        os.utime(path, ns=(int(at), int(at)))
        try:
            load_classifier(path)
        except FormatError:
            continue
