import pytest

from hsjax.config import base, train_stage, validate
from hsjax.experiment import watching
from hsjax.experiment.context import Context, Training
from hsjax.types import UserError


class OneFold(Context):
    """A run whose protocols have one split, known without its data."""

    def folds(self, protocol):
        return [0]


def config(*viewers):
    made = base()
    made.stages = {"student": train_stage("song-student")}
    made.pipeline = ("student",)
    made.watch = viewers
    return made


@pytest.mark.parametrize(
    ("viewers", "message"),
    [
        (("tensorbord",), r"config\.watch is 'tensorbord'; it must be one of tensorboard, wandb"),
        (
            ("tensorboard,wandb",),
            r"several viewers in a flag are written --config\.watch=\"\('tensorboard','wandb'\)\"",
        ),
    ],
)
def test_who_does_not_exist_is_refused(viewers, message):
    with pytest.raises(UserError, match=message):
        validate(config(*viewers))


@pytest.mark.parametrize(("viewer", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_extra_is_named_in_one_sentence(viewer, package, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as raised:
        watching.check(config(viewer))
    assert str(raised.value) == (
        f"config.watch names {viewer}, which needs {package}: pip install 'hsjax[{viewer}]', "
        f"or leave {viewer} out of it"
    )


def test_nobody_is_told_by_default(tmp_path):
    watching.check(config())
    with watching.Watching(OneFold(config(), tmp_path)) as watchers:
        watchers.told(Training("grouped", 0, 0, "student"), {"epoch": 1, "train": {}, "validation": {}, "seconds": 1.0})
    assert not list(tmp_path.iterdir())


def test_each_training_has_a_log_by_the_name_of_its_folder(tmp_path):
    run = OneFold(config("tensorboard"), tmp_path)
    with watching.Watching(run) as watchers:
        for seed in (0, 1):
            row = {"epoch": 1, "train": {"loss": 1.0}, "validation": {}, "seconds": 1.0}
            watchers.told(Training("grouped", seed, 0, "student"), row)
        watchers.close(Training("grouped", 0, 0, "student"))
        watchers.close(Training("grouped", 2, 0, "student"))  # that has not begun
    found = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("events.out.tfevents.*")}
    assert found == {f"tensorboard/grouped/{seed}/student" for seed in (0, 1)}
