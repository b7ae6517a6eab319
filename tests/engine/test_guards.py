"""The laws a build is held to while it runs: each is seen to stop one."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.engine import output, shards
from curate.engine.guards import check_conservation
from curate.engine.shards import RowStore
from curate.errors import ConservationError
from tests.support.build_data import built, chats, left_behind, source


def test_a_row_lost_on_the_way_to_the_data_files_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(shard: shards.Shard, stock: RowStore, path: Path) -> None:
        fewer = shard.order.pick(slice(0, len(shard.order.row) - 1))
        shards.write_shard(shards.Shard(shard.name, fewer, shard.ends - 1), stock, path)

    monkeypatch.setattr(output, "write_shard", lossy)
    with pytest.raises(ConservationError, match=r"20 rows were to be written, 19 were"):
        built(tmp_path / "out", source("s", chats(20)))
    assert left_behind(tmp_path / "out") == []


def test_fates_that_do_not_add_up_stop_the_build() -> None:
    with pytest.raises(ConservationError, match=r"3 rows were read, but the ledger has 2"):
        check_conservation("s", 3, {"kept": 1, "dropped": 1})
