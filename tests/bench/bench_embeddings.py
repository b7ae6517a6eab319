"""Static embeddings beside model2vec 0.10 and wordllama 0.4: equal vectors, and the time of each.

Run it with `pytest -s tests/bench/bench_embeddings.py` and `CURATE_REAL_DATA`. The peers get an environment of their
own, and skip where pip cannot install them. The vectors are wordllama's own, which its wheel holds (256 dimensions);
model2vec gets them in a folder of its own, as they are and with weights and a mapping. Times are of the processor.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pytest

from curate.rows.embeddings import embed
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.text.embeddings.static_model import load_static_model
from tests.bench.peers import environment, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEERS: Final = ("model2vec==0.10.0", "wordllama==0.4.0.post1")

THEIRS: Final = """
import json, sys, time
from pathlib import Path
import numpy as np, wordllama
from model2vec import StaticModel
from safetensors.numpy import load_file
from tokenizers import Tokenizer
texts, home = json.loads(Path("texts.json").read_bytes()), Path(wordllama.__file__).parent
vectors = load_file(home / "weights/l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
tokenizer = Tokenizer.from_file(str(home / "tokenizers/l2_supercat_tokenizer_config.json"))
random = np.random.default_rng(0)
weights, mapping = random.uniform(0.1, 2, len(vectors)).astype(np.float32), random.integers(0, 500, len(vectors))
plain = StaticModel(vectors, tokenizer, normalize=True)
quantized = StaticModel(vectors[:500], tokenizer, normalize=True, weights=weights, token_mapping=mapping)
own = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
sides = {
    "wordllama": lambda: np.concatenate([own.embed(text, norm=True) for text in texts]),
    "model2vec": lambda: plain.encode(texts, max_length=None),
    "model2vec, quantized": lambda: quantized.encode(texts, max_length=None),
}
plain.save_pretrained("model2vec")
quantized.save_pretrained("model2vec, quantized")
result = {"home": str(home)}
for name, side in sides.items():
    side()
    start = time.process_time()
    np.save(name + ".npy", side())
    result[name] = time.process_time() - start
Path(sys.argv[1]).write_text(json.dumps(result | {"work": 0, "cpu": 0}))
"""


def test_vectors_are_those_of_the_packages(tmp_path: Path, real_file: Callable[[str], Path]) -> None:
    rows = [
        row for name in ("lima", "alpaca_zh_demo") for row in json.loads(real_file(f"sft/{name}.json").read_bytes())
    ]
    texts = [text for row in rows for text in (row["instruction"], row["output"]) if text.strip()]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    theirs = run(environment(*PEERS), THEIRS, folder=tmp_path).result
    body = [{"messages": [{"role": "user", "content": text}], "meta": "{}"} for text in texts]
    batch = segments(pa.RecordBatch.from_pylist(body, BODIES["conversation"]))
    print(f"\n{len(texts):,} texts, {sum(map(len, texts)) / 1e6:.1f} million characters")
    for name in ("wordllama", "model2vec", "model2vec, quantized"):
        model = load_static_model(theirs["home"] if name == "wordllama" else tmp_path / name)
        embed(batch, model)
        start = time.process_time()
        ours = embed(batch, model)
        took = time.process_time() - start
        apart = float(np.abs(ours - np.load(tmp_path / f"{name}.npy")).max())
        print(f"{name:22} {theirs[name]:6.2f} s, here {took:6.2f} s, largest difference {apart:.1e}")
        # Theirs are sums in float32: of texts of thousands of tokens, with weights, they are off by that much.
        assert apart == pytest.approx(0, abs=5e-6 if "quantized" in name else 1e-6)
