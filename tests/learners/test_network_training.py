"""Training: recovers a simulated truth, is stopped by rows it does not learn from, and does the same again for a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.learners.network_buckets import BucketHead
from headwater.learners.network_rows import RowSource
from headwater.learners.network_training import Learned, TrainingSettings, learn_network
from headwater.learners.network_ziln import ZilnHead

pytestmark = pytest.mark.deep

N = 16_000
TOTAL = 0.05  # the standard error of a total of so many heavy-tailed amounts is 1.5%
CHANCE = 0.03  # mean distance from each row's true chance
LOCATION = 0.12  # the same of the location of logs, whose spread over rows is 0.6
HELD = 0.02  # share of outcomes below a quantile: four standard errors are 0.012
SETTINGS = TrainingSettings(most_passes=15, threads=1)


def learned(source: RowSource, *, seed: int = 1, head: Any = ZilnHead, **rest: Any) -> Learned:
    settings = rest.pop("settings", SETTINGS)
    return learn_network(source, head_of=head.of, settings=settings, rng=np.random.default_rng(seed), **rest)


def test_it_recovers_the_chance_the_location_and_the_quantiles_of_simulated_rows(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    known, new = simulate(N, seed=1), simulate(N, seed=2)
    source = source_of(known.rows, group=3_000, without=(0, 5))
    got = learned(source, watched=source_of(known.rows, group=3_000, only=(0, 5))).network
    (block,) = got.outputs(new.rows)
    head = got.head
    assert isinstance(head, ZilnHead)
    p, mu = 1 / (1 + np.exp(-block[:, 0])), head.rungs[0].mu(block[:, 1])
    truth = new.p * np.exp(new.mu + new.sigma**2 / 2)
    assert np.abs(p - new.p).mean() < CHANCE
    assert np.abs(mu - new.mu).mean() < LOCATION
    assert got.means(new.rows).sum() == pytest.approx(truth.sum(), rel=TOTAL)
    for share in (0.8, 0.95):
        assert np.mean(new.amounts <= head.quantile((block,), share)[:, 0]) == pytest.approx(share, abs=HELD)


def test_buckets_recover_the_mean_of_simulated_rows_and_their_order(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    known, new = simulate(N, seed=1), simulate(N, seed=2)
    source = source_of(known.rows, group=3_000, without=(0, 5))
    got = learned(source, head=BucketHead, watched=source_of(known.rows, group=3_000, only=(0, 5))).network
    truth, mean = new.p * np.exp(new.mu + new.sigma**2 / 2), got.means(new.rows)[:, 0]
    assert mean.sum() == pytest.approx(
        truth.sum(), rel=2 * TOTAL
    )  # a straight line stands for the tail of a bucket
    assert np.corrcoef(np.log(mean), np.log(truth))[0, 1] > 0.97


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    source = source_of(simulate(3_000, seed=3).rows, group=500)
    one, same, other = (learned(source, seed=s, passes=3) for s in (1, 1, 2))
    assert one.network.state() == same.network.state()
    assert one.losses == same.losses or np.isnan(one.losses[0][1])
    assert one.network.state() != other.network.state()


def test_rows_that_do_not_fit_in_the_buffer_are_learned_from_as_well(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    known = simulate(6_000, seed=4)
    source = source_of(known.rows, group=500)
    small = TrainingSettings(buffer_rows=1_000, kept_bytes=0, threads=1)
    whole, parts = (learned(source, passes=8, settings=s) for s in (TrainingSettings(threads=1), small))
    assert parts.losses[-1][0] == pytest.approx(whole.losses[-1][0], rel=0.02)
    again = learned(source, passes=8, settings=small)
    assert parts.network.state() == again.network.state()


def test_it_stops_when_rows_it_does_not_learn_from_are_forecast_no_better(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    """So few rows that the network soon knows them by heart; the weights kept are those of the best pass."""
    known, other = simulate(400, seed=5), simulate(4_000, seed=6)
    source, watched = source_of(known.rows), source_of(other.rows, name="watched")
    settings = TrainingSettings(most_passes=60, patience=4, threads=1)
    got = learned(source, watched=watched, settings=settings)
    seen = [s for _, s in got.losses]
    assert got.passes + settings.patience == len(seen) < settings.most_passes
    assert got.best_loss == min(seen) < got.start_loss
    head, rows = got.network.head, other.rows
    import torch

    blocks = tuple(torch.from_numpy(b) for b in got.network.outputs(rows))
    again = head.loss(blocks, torch.from_numpy(other.amounts[:, None])).mean().item()
    assert again == pytest.approx(got.best_loss, abs=1e-4)  # 32-bit against 64-bit layers
    assert learned(source, passes=len(seen), settings=settings).losses[-1][0] < got.losses[got.passes - 1][0]


def test_the_budget_is_kept_in_passes_and_in_rows(source_of: Callable[..., RowSource], simulate: Any) -> None:
    source = source_of(simulate(1_000, seed=7).rows)
    few = TrainingSettings(most_rows_seen=3_500, threads=1)
    assert len(learned(source, watched=source, settings=few).losses) == 3


def test_settings_of_pytorch_are_put_back_and_a_machine_without_a_gpu_will_do(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    got = learned(source_of(simulate(500, seed=8).rows), passes=1)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert got.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_loss_that_is_no_number_is_refused(source_of: Callable[..., RowSource], simulate: Any) -> None:
    class Broken(ZilnHead):
        def loss(self, blocks: Any, amounts: Any) -> Any:
            return super().loss(blocks, amounts) * float("nan")

    with pytest.raises(DataError, match=r"network\.diverged"):
        learned(source_of(simulate(500, seed=9).rows), head=Broken, passes=1)
