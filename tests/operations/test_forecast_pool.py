"""Pools, their prices, and the memory of their machines, by hand."""

from __future__ import annotations

import pytest
from transformers import LlamaConfig

from midb_ray.errors import UserError
from midb_ray.operations import memory_fit, prices
from midb_ray.operations.estimates import Estimate
from midb_ray.operations.forecast_pool import Needs, best, offer, within
from midb_ray.operations.memory_fit import Demand, Fit, Footprint
from midb_ray.operations.pace import Pace
from midb_ray.operations.prices import Machine, Prices
from tests.cluster import filling
from tests.cluster.test_cluster_files import MACHINE_KEY, machine

FITS = Fit("fits", 1e6, 1000, "")
ONE = Machine(gpu="L4", gpus=1, gpu_gigabytes=24, cpus=8, gigabytes=32, on_demand=2, spot=1)
FOUR = Machine(gpu="L40S", gpus=4, gpu_gigabytes=48, cpus=48, gigabytes=384, on_demand=6)
TABLE = Prices(head=0.5, boot_minutes=0, idle_minutes=0, machines={"one": ONE, "four": FOUR})
PACE = Pace("tokens", Estimate(0.01), Estimate(0.0), 360.0, 1, 1.0, True)
NEEDS = Needs(Estimate(36_000_000, 3_600_000 / 1.6449), PACE, 1, 1)  # 100 engine hours, give or take ten


def test_an_offer_counts_whole_nodes_and_pays_starts_and_the_head() -> None:
    found = offer("four", FOUR, TABLE, NEEDS, 10, FITS)
    assert (found.nodes, found.hours.value) == (3, pytest.approx(10 + 0.1))
    assert found.cost == {"on_demand": Estimate(pytest.approx(10.1 * 18.5), pytest.approx(18.5 / 1.6449))}
    assert offer("one", ONE, TABLE, NEEDS, 10, FITS).cheapest[0] == "spot"


def test_every_node_is_paid_until_it_was_idle_long_enough() -> None:
    table = TABLE.model_copy(update={"boot_minutes": 6, "idle_minutes": 42})
    found = offer("four", FOUR, table, NEEDS, 10, FITS)
    assert found.hours.value == pytest.approx(10.2)  # to the last shard
    assert found.cost["on_demand"].value == pytest.approx((10.2 + 0.7) * 18.5)
    assert found.overhead == pytest.approx((0.1 + 0.1 + 0.7) / 10.9)
    assert Prices(machines={"one": ONE}).idle_minutes == 40  # a table of one's own that does not say


def test_a_deadline_takes_the_smallest_pool_that_keeps_it_at_the_upper_end() -> None:
    found = within("one", ONE, TABLE, NEEDS, FITS, 11.1, None)
    assert found is not None
    assert found.replicas == 10  # 110 hours / 10 and six minutes; 9 would do for the 100 that are expected
    assert within("one", ONE, TABLE, NEEDS, FITS, 0.09, None) is None


def test_a_budget_takes_the_fastest_pool_within_it() -> None:
    """A pool of n costs 100 hours of a node, whatever n, and its start and the head beside that."""
    found = within("one", ONE, TABLE, NEEDS, FITS, None, 130)
    assert found is not None
    market, cost = found.cheapest
    assert market == "spot"
    assert cost.high <= 130
    larger = offer("one", ONE, TABLE, NEEDS, int(found.replicas * 1.2), FITS)
    assert larger.cheapest[1].high > 130
    assert within("one", ONE, TABLE, NEEDS, FITS, None, 90) is None


def test_a_budget_is_not_spent_on_nodes_that_start_and_wait() -> None:
    table = TABLE.model_copy(update={"boot_minutes": 8, "idle_minutes": 40})
    unworked = 0.1 + 48 / 60
    found = within("one", ONE, table, NEEDS, FITS, None, 5000)
    assert found is not None
    assert not found.mostly_overhead
    assert (
        100 / unworked * 0.9 < found.nodes <= 100 / unworked
    )  # beyond it a node works for less than it starts and waits
    small = Needs(Estimate(36_000), PACE, 1, 1)  # six minutes of an engine: more than one node is never worth it
    offers = [within(name, one, table, small, FITS, None, 5000) for name, one in TABLE.machines.items()]
    assert [(one.nodes, one.replicas, one.mostly_overhead) for one in offers if one] == [(1, 1, True), (1, 4, True)]


def test_without_a_deadline_a_pool_that_mostly_works_is_better_than_a_fast_one_that_waits() -> None:
    working, waiting = (offer("one", ONE, TABLE, NEEDS, size, FITS) for size in (100, 2000))
    assert waiting.hours.value < working.hours.value
    assert best([waiting, working], None) is working
    assert best([waiting], None) is waiting


def test_with_both_the_cheapest_that_keeps_the_deadline_must_keep_the_budget() -> None:
    assert within("one", ONE, TABLE, NEEDS, FITS, 11.1, 100) is None
    found = within("one", ONE, TABLE, NEEDS, FITS, 200, 130)
    assert found is not None
    assert found.replicas > 1  # one would keep the deadline, but the head is paid for longer
    offers = [within(name, one, TABLE, NEEDS, FITS, 11.1, None) for name, one in TABLE.machines.items()]
    choice = best([one for one in offers if one], 11.1)
    assert choice is not None
    assert choice.machine == "one"


def test_replicas_share_gpus_or_take_several() -> None:
    assert [FOUR.replicas(gpus, 1) for gpus in (0.5, 1, 2, 4, 8)] == [8, 4, 2, 1, 0]
    assert FOUR.replicas(0, 1) == 0
    assert FOUR.replicas(0.25, FOUR.cpus / 2) == 1  # CPUs run out first
    assert Machine(cpus=16, gigabytes=64, on_demand=1).replicas(0, 2) == 7


def test_the_shipped_table_is_whole_and_says_where_it_comes_from() -> None:
    found = prices.read(None)
    assert found.date
    assert "skypilot" in found.source
    assert all(one.spot is None or one.spot < one.on_demand for one in found.machines.values())


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_the_shipped_table_says_what_the_cluster_files_start_for_engines(cloud: str) -> None:
    """All of boost and cpu, and nothing else: engines keep off machines for training."""
    cluster, table = filling.cluster(cloud), prices.read(None)
    told = {
        one.cluster.node_type: (name, one.gpus, one.cpus, one.cluster.market, one.cluster.max_workers)
        for name, one in table.machines.items()
        if one.cluster is not None and one.cluster.file == f"cluster/{cloud}.yaml"
    }
    nodes = {kind: cluster["available_node_types"][kind] for kind in ("boost", "cpu")}
    assert all(node["labels"]["midb-ray/work"] == kind for kind, node in nodes.items())
    assert told == {
        kind: (
            machine(cloud, node)[MACHINE_KEY[cloud]],
            node["resources"].get("GPU", 0),
            node["resources"]["CPU"],
            node["labels"]["midb-ray/market"].replace("-", "_"),
            node["max_workers"],
        )
        for kind, node in nodes.items()
    }
    assert table.idle_minutes == cluster["idle_timeout_minutes"]


def test_a_table_of_ones_own_is_read_and_its_mistakes_are_named(tmp_path) -> None:
    place = tmp_path / "prices.yaml"
    place.write_text("machines: {mine: {cpus: 4, gigabytes: 8, on_demand: 1, speed: 2}}")
    assert prices.read(str(place), ("mine",)).machines["mine"].speed == 2
    with pytest.raises(UserError, match="has no machine 'yours'; it has mine"):
        prices.read(str(place), ("yours",))
    place.write_text("machines: {mine: {cpus: 4, gigabytes: 8, price: 1}}")
    with pytest.raises(
        UserError, match=r"prices\.yaml: .*machines\.mine\.on_demand|prices\.yaml: .*machines\.mine\.price"
    ):
        prices.read(str(place))


def test_an_8b_llama_in_memory() -> None:
    config = LlamaConfig(
        hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, dtype="bfloat16"
    )
    found = memory_fit.of(config, 16_060_000_000, "auto", on_gpu=True)
    assert found == Footprint(16_060_000_000, 2 * 32 * 8 * 128 * 2)
    assert memory_fit.of(config, 16_060_000_000, "float32", on_gpu=False).weights == 2 * 16_060_000_000
    assert memory_fit.of(config, 5_000_000_000, "auto", on_gpu=True, quantised=True).weights == 5_000_000_000


def test_the_verdict_says_how_many_rows_there_is_room_for() -> None:
    llama = Footprint(16.06e9, 131_072)
    demand = Demand(rows=256, mean=600, longest=4000)
    tokens = (24e9 * 0.9 - 16.06e9 - 1.5e9) / 131_072
    tight = memory_fit.fit(llama, demand, ONE, 1, 0.9, 1)
    assert (tight.verdict, tight.rows) == ("tight", int(tokens / 600))
    assert f"{tight.rows} of 256 rows at once" in tight.words
    assert memory_fit.fit(llama, demand, FOUR, 1, 0.9, 4).verdict == "fits"
    assert memory_fit.fit(llama, demand, ONE, 0.5, 0.9, 2).verdict == "too small"
    assert memory_fit.fit(llama, Demand(1, 600, 40_000), ONE, 1, 0.9, 1).verdict == "too small"
