"""How a train stage compresses its network, together with the stages that it begins with."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from hsjax.config.sweeps import of_member


def prunes(stage: ConfigDict) -> bool:
    """Whether a stage, or a member of its sweep, makes weights zero."""
    return stage.compress.prune.sparsity > 0 or any("sparsity" in point for point in stage.sweep)


def keeps_zeros(stages: ConfigDict, name: str) -> bool:
    """Whether weights that a stage begins with were pruned, by the stage before or by any before that one."""
    begin = of_member(stages, name).begin
    return bool(begin) and (prunes(of_member(stages, begin)) or keeps_zeros(stages, begin))


def keeps_ranges(stages: ConfigDict, name: str) -> bool:
    """Whether a stage goes on with the ranges of the one it begins with: one network, quantised in one way."""
    stage = of_member(stages, name)
    if not stage.begin or _shrinks(stage):
        return False
    before = of_member(stages, stage.begin)
    return (before.model, before.quantise) == (stage.model, stage.quantise)


def shrinkings(stages: ConfigDict, name: str) -> list[ConfigDict]:
    """`compress` of every stage that made the network of this one smaller than its options say, the first one first.

    A stage that begins with another of the same model has its network.
    """
    stage = of_member(stages, name)
    same = stage.begin and of_member(stages, stage.begin).model == stage.model
    before = shrinkings(stages, stage.begin) if same else []
    return before + [stage.compress] * _shrinks(stage)


def compressed(stages: ConfigDict, name: str) -> bool:
    """Whether anything of a stage's network is compressed, by itself or before."""
    stage = of_member(stages, name)
    acts = prunes(stage) or bool(stage.compress.cluster.clusters)
    return acts or keeps_zeros(stages, name) or bool(shrinkings(stages, name))


def problems(key: str, stage: ConfigDict) -> Iterator[str]:
    """What is wrong with the compression of one stage, one sentence each."""
    if stage.quantise.batches < 1:
        yield f"{key}.quantise.batches must be at least 1, or there are no ranges to begin with"
    for pattern, bits in stage.quantise.overrides.items():
        if not isinstance(bits, ConfigDict | dict):
            yield f"{key}.quantise.overrides of {pattern!r} is {bits!r}; say of what: {{'weights': {bits!r}}}"
    if stage.quantise.weights and stage.pretrained:
        yield f"{key} has both pretrained and quantise; quantise in another stage, which begins with this one"
    compress, prune, cluster = stage.compress, stage.compress.prune, stage.compress.cluster
    key = f"{key}.compress"
    if _shrinks(stage) and not stage.begin:
        yield f"{key} has channels or ranks, which make an earlier stage's network smaller; name that stage in begin"
    for name in ("channels", "ranks"):
        if any(not _amount(value) for value in compress[name].values()):
            yield f"{key}.{name} are whole numbers from 1 on, or fractions between 0 and 1"
    if not 0 <= prune.begin <= prune.end <= 1 or prune.every < 1:
        yield f"{key}.prune needs begin and end in this order between 0 and 1, and every of at least 1 step"
    if not 0 <= prune.sparsity < 1:
        yield f"{key}.prune.sparsity lies between 0 and 1, without 1"
    zeros = prune.m * prune.sparsity
    if prune.scope == "n-of-m" and (prune.m < 2 or abs(zeros - round(zeros)) > 1e-6):
        yield f"{key}.prune makes {zeros:g} of {prune.m} weights zero; n-of-m needs a whole number, and m of at least 2"
    if cluster.clusters != 0 and not 2 <= cluster.clusters <= 256:
        yield f"{key}.cluster.clusters is {cluster.clusters}; a kernel has 2 to 256 of them, or 0 for no clustering"
    if cluster.iterations < 1:
        yield f"{key}.cluster.iterations must be at least 1"
    if cluster.clusters and prunes(stage):
        yield f"{key} prunes and clusters at once; make two stages, of which the second one begins with the first"


def chain_problems(stages: ConfigDict, name: str) -> Iterator[str]:
    """What contradicts the stages that a stage begins with.

    Args:
      stages: all.
      name: of the stage; those that it begins with, and they, exist.
    """
    key, stage = f"config.stages.{name}", stages[name]
    if not stage.begin:
        return
    before = of_member(stages, stage.begin)
    if before.model != stage.model:
        if _shrinks(stage):
            yield (
                f"{key}.compress makes the network of {stage.begin!r} smaller, which is {before.model}: set model to "
                "that too"
            )
    elif shrinkings(stages, name) and before.options.to_dict() != stage.options.to_dict():
        yield f"{key}.options are not those of {stage.begin!r}, with whose smaller network it goes on; set the same"


def _shrinks(stage: ConfigDict) -> bool:
    return bool(stage.compress.channels or stage.compress.ranks)


def _amount(value: object) -> bool:
    """Whether it is a number of something, or a fraction of all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < 1 or (value >= 1 and value == round(value))
