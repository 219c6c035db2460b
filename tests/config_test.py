import importlib.util
import pathlib

import pytest

from hsjax import config
from hsjax.types import UserError

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


def kd(variant: str = "", **changes) -> config.ConfigDict:
    spec = importlib.util.spec_from_file_location("kd_config", next(path for path in CONFIGS if path.stem == "kd"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.get_config(variant)
    with made.unlocked():
        made.update_from_flattened_dict(changes)
    return made


@pytest.mark.parametrize("variant", ["", "physionet2016"])
def test_shipped_configs_are_valid(variant):
    config.validate(kd(variant))


def test_unknown_variant_names_the_known():
    with pytest.raises(UserError, match="physionet2016"):
        kd("physionet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.kd.alhpa": 0.3}, r"stages.kd.alhpa does not exist; did you mean config.stages.kd.alpha"),
        ({"sedes": (0,)}, r"config.sedes does not exist; did you mean config.seeds"),
        ({"data.synthetic.subject": 3}, "did you mean config.data.synthetic.subjects"),
        ({"seeds": ()}, "config.seeds"),
        ({"seeds": (1, 1)}, "different integers"),
        ({"protocols": ("grouped", "grouped")}, "config.protocols"),
        ({"split.grouped.test": 1.0}, "config.split.grouped"),
        ({"split.grouped.pretrain": 1.0}, "config.split.grouped.pretrain"),
        ({"prepare.level": "loud"}, "prepare.level is 'loud'; it must be one of none, peak, standard"),
        ({"prepare.fit": "start"}, "prepare.fit is 'start'; it must be one of end, both"),
        ({"prepare.cut": "beats", "prepare.fit": "both"}, "level and fit are not for beats"),
        ({"prepare.hop_seconds": 3.0}, "hop_seconds"),
        ({"pipeline": ("teacher", "studnet")}, "names 'studnet'"),
        ({"pipeline": ("report",)}, "no train stage"),
        ({"pipeline": ("student", "kd", "teacher"), "evaluate.differences": ()}, "name a train stage before it"),
        ({"pipeline": ("teacher", "student"), "evaluate.differences": ("kd - student",)}, "kd - student"),
        ({"stages.student.teacher": "teacher"}, "set objective=distil or leave teacher empty"),
        ({"stages.kd.temperature": 0.0}, "temperature"),
        ({"stages.kd.alpha": 1.5}, "alpha"),
        ({"stages.kd.epochs": 0}, "epochs"),
        ({"stages.kd.optimizer.learning_rate": 0.0}, "learning_rate"),
        ({"stages.kd.kind": "trian"}, "must be one of train, classical, cluster, explain, export, report"),
        ({"stages.export.models": ("tutor",)}, "names 'tutor'"),
        ({"stages.export.models": ()}, "is empty"),
        ({"stages.export.protocol": "paper"}, "which config.protocols does not run"),
        ({"protocols": ("grouped", "paper"), "stages.export.protocol": "paper"}, "whole recordings"),
        ({"stages.export.seed": 4}, "which config.seeds does not run"),
        ({"evaluate.bootstrap": 10}, "bootstrap"),
        ({"seeds": ("a", "b")}, "different integers"),
        ({"protocols": ("paper,grouped",)}, r"\('paper','grouped'\)"),
        ({"pipeline": ("student", "student")}, "more than once"),
        ({"prepare.hop_seconds": 1e-5}, "less than one sample"),
        ({"data.split_seed": -1}, "split_seed"),
        ({"stages.student.alpha": 0.5}, "does not use"),
        ({"stages.kd.optimizer.warmup_fraction": 5.0}, "warmup_fraction"),
        ({"stages.kd.optimizer.weight_decay": -1.0}, "weight_decay"),
        ({"stages.export.calibration": 0}, "calibration"),
        ({"stages.export.threads": 0}, "thread"),
        ({"stages.export.agreement": 2.0}, "agreement"),
    ],
)
def test_contradictions_and_misspellings_stop_with_a_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        config.validate(kd(**changes))


def test_stage_templates_refuse_unknown_keys():
    with pytest.raises(UserError, match=r"did you mean config\.epochs"):
        config.train_stage("song-student", epoch=3)
    with pytest.raises(UserError, match=r"optimizer\.learning_rte"):
        config.train_stage("song-student", optimizer={"learning_rte": 3})


def test_every_difference_is_a_pair():
    assert config.differences(kd()) == [("kd", "student")]


def objectives(**changes) -> config.ConfigDict:
    """A run with a teacher, and each other kind of objective, with changes of single keys."""
    made = config.base()
    stage = config.train_stage
    sweep = config.grid(temperature=(1.0, 7.0), alpha=(0.1, 0.3))
    views = {"features": {"add_white_noise": {"snr_db": (5.0, 20.0)}}}
    made.stages = {
        "teacher": stage("song-teacher"),
        "kd": stage("song-student", objective="distil", teacher="teacher", sweep=sweep),
        "hints": stage("song-student", objective="distil", teacher="teacher", hints={"fitnet": 1.0, "crd": 0.1}),
        "self": stage("song-student", objective="self-distil", alpha=0.5),
        "mutual": stage("song-student", objective="mutual", peer="song-student", alpha=0.5),
        "pre": stage("song-student", objective="contrastive", select="last", augment=views),
        "fine": stage("song-student", begin="pre"),
        "both": stage("song-student", objective="distil", teacher="teacher + kd@temperature=7,alpha=0.1"),
        "export": config.export_stage(models=("fine",)),
    }
    made.pipeline = ("teacher", "kd", "hints", "self", "mutual", "pre", "fine", "both", "export")
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = made
        with made.unlocked():
            for section in sections:
                place = place[section]
            place[last] = config.ConfigDict(value) if isinstance(value, dict) else value
    return made


def test_every_kind_of_objective_is_valid():
    config.validate(objectives())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.kd.teacher": ""}, r"stages\.kd\.teacher is ''; to distil, name a train stage before it"),
        ({"stages.kd.teacher": "tutor"}, "teacher is 'tutor'; to distil"),
        ({"stages.both.teacher": "teacher + kd@temperature=7,alpha=0.2"}, "to distil, name a train stage before it"),
        ({"stages.both.teacher": "teacher + kd"}, "to distil, name a train stage before it"),
        ({"stages.both.teacher": "teacher + both"}, "to distil, name a train stage before it"),
        ({"stages.self.teacher": "teacher"}, "set objective=distil or leave teacher empty"),
        ({"stages.fine.begin": "both"}, r"stages\.fine\.begin is 'both'; name a train stage before it"),
        ({"stages.fine.begin": "fine"}, r"stages\.fine\.begin is 'fine'; name a train stage before it"),
        ({"stages.fine.pretrained": "weights.npz"}, "both begin and pretrained"),
        ({"stages.mutual.peer": ""}, "objective mutual has a peer, no other"),
        ({"stages.self.peer": "song-student"}, "objective mutual has a peer, no other"),
        ({"stages.self.hints": {"pkt": 1.0}}, r"stages\.self\.hints look into one teacher; set objective=distil"),
        ({"stages.both.hints": {"pkt": 1.0}}, r"stages\.both\.hints look into one teacher"),
        ({"stages.hints.hints": {"fitnet": -1.0}}, "hints are weights from 0 on"),
        ({"stages.hints.taps": {"vid": ("", "")}}, "taps names vid, which is not among hints"),
        ({"stages.kd.soft": "none"}, "soft is none, which leaves nothing of the teacher"),
        ({"stages.self.soft": "none"}, "soft is none, which leaves nothing of the teacher"),
        ({"stages.pre.augment": {}}, "augment is empty: both views of an example would be the same"),
        ({"stages.pre.select": "auroc"}, "select is 'auroc', but a network that learns from views has no metric"),
        ({"stages.pre.constants.mixup": 0.2}, "mixup mixes classes"),
        ({"stages.kd.groups": "v-rex"}, "groups is 'v-rex', which is for objective supervised"),
        ({"stages.fine.groups": "v-rex", "stages.fine.constants.mixup": 0.2}, "which groups cannot tell apart"),
        (
            {"stages.fine.groups": "v-rex", "stages.fine.constants.group_step": 0.2},
            "group_step is used by",
        ),
        ({"stages.fine.constants.group_penalty": 2.0}, "group_penalty is used by groups=v-rex"),
        ({"evaluate.aggregation": "median"}, "evaluate.aggregation"),
        ({"stages.teacher.objective": "contrast"}, "objective is 'contrast'; it must be one of supervised, distil"),
        ({"stages.kd.constants.label_smoothing": 1.0}, "label_smoothing"),
        ({"stages.kd.constants.ema_decay": 1.0}, "ema_decay"),
        ({"stages.kd.constants.dkd_beta": -1.0}, "constants are not negative"),
        ({"stages.kd.optimizer.clip_norm": -1.0}, "clip_norm"),
        ({"stages.kd.lanes": -1}, "lanes"),
        ({"stages.export.models": ("pre",)}, "'pre', which learns no classes"),
        (
            {
                "stages.pre.sweep": ({"temperature": 0.1},),
                "stages.export.models": ("pre@temperature=0.1",),
                "stages.fine.begin": "pre@temperature=0.1",
            },
            "'pre@temperature=0.1', which learns no classes",
        ),
        ({"stages.both.teacher": "teacher + pre"}, r"stages\.both\.teacher is 'pre', which learns no classes"),
        ({"evaluate.differences": ("fine - pre",)}, "one learns no classes"),
        ({"stages.export.models": ("kd",)}, "'kd', which is not a train stage"),
        ({"stages.kd.sweep": ({"epochs": 3},)}, "has 'epochs'; only constants can be swept over: temperature, alpha"),
        ({"stages.kd.sweep": ({"class_balanced_beta": 0.9},)}, "has 'class_balanced_beta'; only constants"),
        ({"stages.kd.sweep": ({"fitnet": 0.9},)}, "has 'fitnet'; only constants"),
        ({"stages.kd.sweep": ({"alpha": "0.1"},)}, "has alpha='0.1', which is no number"),
        ({"stages.kd.sweep": (0.1, 0.2)}, "has to be a tuple of constants by name"),
        ({"stages.kd.sweep": ({},)}, "has to be a tuple of constants by name"),
        ({"stages.kd.sweep": ({"alpha": 0.1}, {"alpha": 0.1})}, "names one member twice"),
        ({"stages.kd.sweep": ({"alpha": 0.1}, {"alpha": 1.5})}, r"kd@alpha=1\.5\.alpha must lie between 0 and 1"),
        ({"stages.kd.sweep": ({"temperature": 0.0},)}, "temperature must be positive"),
        ({"stages.kd.sweep": ({"learning_rate": 0.0},)}, "positive learning_rate"),
        ({"stages.kd.sweep": ({"alpha": True},)}, "no number"),
        ({"stages.hints.sweep": ({"fitnet": -2.0},)}, "hints are weights from 0 on"),
        ({"stages.fine.sweep": ({"temperature": 4.0},)}, "does not use"),
        ({"stages.pre.sweep": ({"mixup": 0.2},)}, "mixup mixes classes"),
        ({"stages.hints.taps": {"fitnet": "conv"}}, "taps are pairs"),
        ({"stages.hints.taps": {"fitnet": ("", "", "")}}, "taps are pairs"),
        ({"stages.hints.taps": {"fitnet": (("", ""), "conv")}}, "taps are pairs"),
        ({"stages.hints.taps": {"crd": ("", "")}}, "taps names crd, which compares embeddings"),
        ({"stages.kd.sweep": ({"dkd_beta": 1.0}, {"dkd_beta": 8.0})}, "dkd_beta is used by soft=dkd only"),
        ({"stages.teacher.constants.positive_weight": 3.0}, "positive_weight is used by labels=bce only"),
        ({"stages.teacher.labels": "bce", "stages.teacher.constants.label_smoothing": 0.1}, "label_smoothing is used"),
        ({"stages.teacher.constants.ema_decay": 0.9}, "ema_decay is used by average=True, self-distil, moco and byol"),
        ({"stages.teacher.constants.class_balanced_beta": 0.9}, "class_balanced_beta is used by class_weighting"),
        ({"stages.kd.soft": "dkd", "stages.kd.sweep": ({"mixup": 0.2},)}, "which dkd and crd cannot tell apart"),
        ({"stages.hints.constants.mixup": 0.2}, "which dkd and crd cannot tell apart"),
        ({"stages.teacher.soft": "dist"}, "soft and scale_by_t2 are of a loss against a teacher"),
        ({"stages.teacher.share": 0.0}, "give the part of the training examples that is used, above 0, at most 1"),
        ({"stages.teacher.share": 1.5}, "share is 1.5"),
        ({"stages.teacher.patience": 2, "stages.teacher.select": "last"}, "set patience=0 or select by a metric"),
        ({"stages.pre.alpha": 0.5}, "alpha weighs true classes"),
        ({"stages.pre.class_weighting": "balanced"}, "class_weighting is of no use"),
        ({"stages.self.peer_options": {"width": 2}}, "peer_options are of a peer"),
    ],
)
def test_objectives_that_contradict_themselves_stop_with_a_sentence(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        config.validate(objectives(**changes))
    assert "\n" not in str(caught.value)


def compressing(**changes) -> config.ConfigDict:
    """Stages of which each begins with the one before and makes it smaller, with changes of single keys."""
    made, stage = config.base(), config.train_stage
    made.stages = {
        "whole": stage("song-student"),
        "narrow": stage("song-student", begin="whole", compress={"channels": {"*": 0.5, "hidden": 4}}),
        "thin": stage("song-student", begin="narrow", compress={"ranks": {"hidden": 0.25}}),
        "sparse": stage(
            "song-student", begin="thin", compress={"prune": {"sparsity": 0.5}}, sweep=config.grid(sparsity=(0.5, 0.8))
        ),
        "few": stage("song-student", begin="sparse@sparsity=0.8", compress={"cluster": {"clusters": 16}}),
        "tuned": stage("song-student", begin="few", objective="distil", teacher="whole"),
        "other": stage("song-teacher", begin="tuned"),
    }
    made.pipeline = ("whole", "narrow", "thin", "sparse", "few", "tuned", "other")
    with made.unlocked():
        for key, value in changes.items():
            *sections, last = key.split(".")
            place = made.stages
            for section in sections:
                place = place[section]
            place[last] = config.ConfigDict(value) if isinstance(value, dict) else value
    return made


def test_what_earlier_stages_did_to_a_network_is_found():
    made = compressing()
    config.validate(made)
    assert [name for name in made.pipeline if config.keeps_zeros(made.stages, name)] == ["few", "tuned", "other"]
    assert [name for name in made.pipeline if config.compressed(made.stages, name)] == list(made.pipeline)[1:]
    of_tuned = config.shrinkings(made.stages, "tuned")
    assert [(dict(one.channels), dict(one.ranks)) for one in of_tuned] == [
        ({"*": 0.5, "hidden": 4}, {}), ({}, {"hidden": 0.25}),
    ]  # fmt: skip
    assert config.shrinkings(made.stages, "other") == []
    assert config.prunes(made.stages.sparse)
    assert config.of_member(made.stages, "sparse@sparsity=0.8").compress.prune.sparsity == 0.8


def test_ranges_are_kept_by_the_same_network_quantised_in_the_same_way():
    int8, learned = {"weights": 8}, {"weights": 8, "ranges": "learned"}
    made = compressing()
    for name, begin, quantise, compress in (
        ("a", "few", int8, {}),
        ("b", "a", int8, {}),
        ("c", "a", learned, {}),
        ("d", "b", int8, {"ranks": {"hidden": 1}}),
        ("e", "b", int8, {"cluster": {"clusters": 4}}),
    ):
        made.stages[name] = config.train_stage("song-student", begin=begin, quantise=quantise, compress=compress)
    assert [name for name in "abcde" if config.keeps_ranges(made.stages, name)] == ["b", "e"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"narrow.begin": ""}, r"stages\.narrow\.compress has channels or ranks, .* name that stage in begin"),
        (
            {"narrow.compress.channels": {"*": 1.5}},
            "narrow.compress.channels are whole numbers from 1 on",
        ),
        ({"narrow.compress.channels": {"*": 0}}, "narrow.compress.channels are whole numbers from 1 on"),
        ({"thin.compress.ranks": {"hidden": "all"}}, "thin.compress.ranks are whole numbers from 1 on, or fractions"),
        ({"whole.compress.prune.begin": 0.6}, "begin and end in this order"),
        ({"whole.compress.prune.end": 1.1}, "begin and end in this order"),
        ({"whole.compress.prune.every": 0}, "every of at least 1 step"),
        ({"whole.compress.prune.sparsity": 1.0}, "whole.compress.prune.sparsity lies between 0 and 1, without 1"),
        ({"sparse.sweep": ({"sparsity": -0.1},)}, r"sparse@sparsity=-0\.1\.compress\.prune\.sparsity lies between"),
        ({"sparse.compress.prune.scope": "n-of-m"}, "makes 3.2 of 4 weights zero; n-of-m needs a whole number"),
        ({"few.compress.cluster.clusters": 1}, "clusters is 1; a kernel has 2 to 256 of them"),
        ({"few.compress.cluster.clusters": 257}, "clusters is 257; a kernel has 2 to 256 of them"),
        ({"few.compress.cluster.iterations": 0}, "iterations must be at least 1"),
        ({"few.compress.prune.sparsity": 0.9}, "few.compress prunes and clusters at once; make two stages"),
        ({"sparse.compress.cluster.clusters": 4}, "compress prunes and clusters at once; make two stages"),
        ({"thin.model": "song-teacher"}, "the network of 'narrow' smaller, which is song-student: set model to that"),
        ({"few.options": {"hidden": 8}}, "few.options are not those of 'sparse@sparsity=0.8'"),
        ({"tuned.quantise.batches": 0}, "tuned.quantise.batches must be at least 1"),
        ({"whole.quantise.weights": 8, "whole.pretrained": "weights.h5"}, "whole has both pretrained and quantise"),
        ({"few.compress.clusters": 4}, r"stages\.few\.compress\.clusters does not exist; did you mean"),
    ],
)
def test_compression_that_contradicts_itself_stops_with_a_sentence(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        config.validate(compressing(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["one@alpha=1", "one + another"])
def test_a_stage_is_not_named_like_a_member_or_like_several(name):
    made = objectives()
    made.stages[name] = config.train_stage("song-student")
    made.pipeline = (*made.pipeline, name)
    with pytest.raises(UserError, match="leave '@' and ' \\+ ' to members"):
        config.validate(made)


def test_a_grid_is_every_combination_and_a_member_has_its_constants():
    assert config.grid(temperature=(1.0, 7.0), alpha=(0.1, 0.3)) == (
        {"temperature": 1.0, "alpha": 0.1}, {"temperature": 1.0, "alpha": 0.3},
        {"temperature": 7.0, "alpha": 0.1}, {"temperature": 7.0, "alpha": 0.3},
    )  # fmt: skip
    made = objectives(**{"stages.kd.sweep": ({"learning_rate": 1e-4, "mixup": 0.2}, {"alpha": 0.25})})
    names = config.members("kd", made.stages.kd)
    assert names == ["kd@learning_rate=0.0001,mixup=0.2", "kd@alpha=0.25"]
    first, second = (config.of_member(made.stages, name) for name in names)
    assert (first.optimizer.learning_rate, first.constants.mixup, first.alpha) == (1e-4, 0.2, 1.0)
    assert (second.optimizer.learning_rate, second.constants.mixup, second.alpha) == (1e-3, 0.0, 0.25)
    assert made.stages.kd.alpha == 1.0
    swept = objectives(**{"stages.hints.sweep": ({"crd": 0.8},)})
    assert config.of_member(swept.stages, "hints@crd=0.8").hints.to_dict() == {"fitnet": 1.0, "crd": 0.8}
    with pytest.raises(UserError, match=r"there is no 'kd@alpha=0\.3'"):
        config.of_member(made.stages, "kd@alpha=0.3")
    assert config.members("self", made.stages.self) == ["self"]
