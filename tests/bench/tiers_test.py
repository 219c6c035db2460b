import dataclasses

import pytest

from hsjax.bench import tiers

SMALL = tiers.Need(
    bytes=48_000,
    model_memory_bytes=6 * 2**20,
    peak_memory_bytes=55 * 2**20,
    arena_bytes=28_640,
    no_arena="",
    macs=1_609_904,
    seconds=2.5,
)
PHONES = {"ultra-low resource", "mobile", "edge"}
ALL = PHONES | {"Raspberry Pi Zero", "microcontroller"}


def fitting(**changes):
    found = tiers.fits(dataclasses.replace(SMALL, **changes))
    assert {fit.tier for fit in found} == ALL
    assert all(bool(fit.reason) != (fit.fits is True) and fit.source for fit in found)
    return {fit.tier for fit in found if fit.fits}, {fit.tier: fit.reason for fit in found}


def test_a_small_file_fits_everything():
    assert fitting()[0] == ALL


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({"model_memory_bytes": 21 * 2**20}, {"ultra-low resource"}),
        ({"model_memory_bytes": 101 * 2**20}, PHONES),
        ({"peak_memory_bytes": 513 * 2**20}, {"Raspberry Pi Zero"}),
        ({"arena_bytes": 256 * 1024 + 1}, {"microcontroller"}),
        ({"arena_bytes": 256 * 1024, "bytes": 2**20}, set()),
        ({"bytes": 2**20 + 1}, {"microcontroller"}),
        # 2.5 s at 6.4 M products a second are 16 M, at 29 M 72.5 M, at 0.5 T 1.25 T.
        ({"macs": 15_900_000}, set()),
        ({"macs": 16_100_000}, {"microcontroller"}),
        ({"macs": 72_400_000}, {"microcontroller"}),
        ({"macs": 72_600_000}, {"microcontroller", "Raspberry Pi Zero"}),
        ({"macs": 10**12 * 126 // 100}, {"microcontroller", "Raspberry Pi Zero", "ultra-low resource"}),
        ({"seconds": 0.2}, {"microcontroller"}),
    ],
)
def test_what_is_too_large_does_not_fit(changes, left_out):
    assert fitting(**changes)[0] == ALL - left_out


def test_reasons_name_every_number():
    reasons = fitting(model_memory_bytes=21 * 2**20, bytes=2 * 2**20, macs=10**8)[1]
    assert reasons["ultra-low resource"] == "its model takes 21 MiB of memory, there are 20 MiB"
    assert (
        reasons["Raspberry Pi Zero"] == "100,000,000 multiply-accumulates take 3.4 s, the next window is there in 2.5"
    )
    assert reasons["microcontroller"] == (
        "the file has 2 MiB, flash 1 MiB; 100,000,000 multiply-accumulates take 16 s, the next window is there in 2.5"
    )


def test_what_is_not_known_is_not_called_fitting():
    found = {fit.tier: fit for fit in tiers.fits(dataclasses.replace(SMALL, model_memory_bytes=None))}
    assert {tier for tier, fit in found.items() if fit.fits is None} == PHONES
    _, reasons = fitting(arena_bytes=None, no_arena="it takes float32")
    assert reasons["microcontroller"] == "it takes float32"


def test_the_paces_are_those_of_their_sources():
    paces = {tier.name: tier.macs_per_second for tier in tiers.TIERS}
    # 0.041 GFLOPS at 700 MHz; a tenth of a product a cycle at 64 MHz.
    assert paces["Raspberry Pi Zero"] == pytest.approx(0.041e9 / 0.7 / 2, rel=0.02)
    assert paces["microcontroller"] == pytest.approx(0.1 * 64e6)
    assert [paces[name] for name in ("ultra-low resource", "mobile", "edge")] == [0.5e12, 2.5e12, 5e12]
