import xml.etree.ElementTree as ElementTree

import pytest

from hsjax.report import sweep_figures
from hsjax.report.sweep_figures import Level, Panel

GRID = [{"temperature": t, "alpha": a} for t in (1.0, 3.0, 7.0) for a in (0.1, 0.3)]
# As in Song's table: T at alpha = 0.3, alpha at T = 7.
CROSS = [
    *({"temperature": t, "alpha": 0.3} for t in (1.0, 3.0, 7.0)),
    *({"temperature": 7.0, "alpha": a} for a in (0.1, 0.5)),
]


def panel(name, points, seeds=1, plain=None):
    return Panel(
        name,
        [Level(of, 0.8 + place / 100, None, tuple(0.8 + seed / 100 for seed in range(seeds)))
         for place, of in enumerate(points)],
        plain,
    )  # fmt: skip


def panels(points, **options):
    return [panel(name, points, **options) for name in ("validation", "test")]


@pytest.mark.parametrize(
    ("points", "fills"),
    [
        (GRID, True),
        (CROSS, False),
        (GRID[:-1], False),
        (GRID[::2], False),  # one value of alpha: a line
        ([{"temperature": 1.0}, {"temperature": 7.0}], False),
    ],
)
def test_a_grid_is_known_from_a_cross(points, fills):
    assert sweep_figures.fills_grid(points) is fills


def test_heat_map_says_every_cell_and_the_choice():
    picture = sweep_figures.heat_map("kd", panels(GRID, plain=("student", 0.75)), "MAcc", GRID[2])
    for words in (
        "MAcc of kd",
        "validation: T = 1, alpha = 0.1: 0.800; T = 1, alpha = 0.3: 0.810",
        "T = 7, alpha = 0.3: 0.850; student: 0.750.",
        "Marked: T = 3, alpha = 0.1, preferred on validation",
    ):
        assert words in picture.alt
    cells = [f"<!-- {0.8 + place / 100:.3f} -->".encode() for place in range(6)]
    assert [picture.content.count(cell) for cell in cells] == [2] * 6


def test_lines_join_only_points_that_share_the_other_constants():
    picture = sweep_figures.lines("kd", panels(CROSS, plain=("student", 0.75)), "MAcc", "temperature", CROSS[0])
    assert picture.content.count(b"<!-- alpha = 0.3 -->") == 1
    assert b"<!-- alpha = 0.1 -->" not in picture.content
    assert picture.content.count(b"<!-- student -->") == 1
    over_alpha = sweep_figures.lines("kd", panels(CROSS), "MAcc", "alpha", CROSS[0])
    assert over_alpha.content.count(b"<!-- T = 7 -->") == 1
    assert b"<!-- T = 3 -->" not in over_alpha.content


def test_seeds_and_intervals_are_drawn():
    def marks(picture):
        # Markers of data are clipped to the axes, ticks and letters are not.
        groups = (
            element for element in ElementTree.fromstring(picture.content).iter() if "clip-path" in element.attrib
        )
        return sum(mark.tag.endswith("use") for group in groups for mark in group)

    one, three = (sweep_figures.lines("kd", panels(CROSS, seeds=n), "MAcc", "temperature", None) for n in (1, 3))
    assert marks(three) == marks(one) + 2 * 3 * 3  # panels, points, seeds
    interval = [Panel("test", [Level({"alpha": 0.1}, 0.8, (0.7, 0.85), (0.8,))] * 2, None)]
    bare = [Panel("test", [Level({"alpha": 0.1}, 0.8, None, (0.8,))] * 2, None)]
    drawn = [marks(sweep_figures.lines("kd", shown, "MAcc", "alpha", None)) for shown in (interval, bare)]
    assert drawn[0] == drawn[1] + 2 * 2  # two caps a point


def test_points_on_no_line_are_drawn_all_the_same():
    scattered = [{"temperature": 1.0, "alpha": 0.1}, {"temperature": 3.0, "alpha": 0.5}]
    picture = sweep_figures.lines("kd", panels(scattered), "MAcc", "temperature", scattered[0])
    assert b"<!-- alpha = 0.1 -->" in picture.content
    assert b"<!-- alpha = 0.5 -->" in picture.content


def test_the_same_numbers_give_the_same_bytes():
    assert (
        sweep_figures.heat_map("kd", panels(GRID), "MAcc", None).content
        == sweep_figures.heat_map("kd", panels(GRID), "MAcc", None).content
    )
