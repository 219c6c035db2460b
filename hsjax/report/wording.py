"""What the page calls things, and what they mean in a sentence."""

from hsjax.evaluate.inference import P_VALUE
from hsjax.evaluate.panel import AT_HALF
from hsjax.evaluate.rows import DIFFERENCE, SPREAD

# In the order in which tables show them.
METRICS = {
    "macc": "MAcc",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "accuracy",
    "precision": "precision",
    "f1": "F1",
    "macro_recall": "macro recall",
    "macro_precision": "macro precision",
    "macro_f1": "macro F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
}

PROTOCOLS = {
    "paper": "Windows are split at random, as in the paper. Windows of one recording fall on both sides, so a model "
    "can recognise the recording instead of the disease (and a recording's last window may overlap the one before it): "
    "these figures are too good.",
    "grouped": "No subject (or, where nobody knows the subjects, no source recording) has windows in more than one "
    "part. These figures tell what to expect of people whom the model has never heard.",
    "leave-one-subset-out": "Each sub-dataset in turn is the test part of a model that was trained on the others. "
    "These figures tell what to expect of another hospital and another device.",
    "inter-patient": "MIT-BIH's records are divided as de Chazal et al. (2004) divide them: nobody whose beats are "
    "tested was trained on.",
    "listed": "The parts are what published lists of recordings say.",
}

TERMS = {
    "sensitivity, specificity": "the part of positive examples (those of the class to detect) that is found, and the "
    "part of the others that is left alone.",
    "MAcc": "the mean of sensitivity and specificity, the score of the PhysioNet/CinC Challenge 2016; 0.5 is chance, "
    "however rare the disease.",
    "AUROC, AUPRC": "how well the probabilities rank positive examples above the others, whatever the threshold: "
    "chance is 0.5 for AUROC, and the part of positive examples for AUPRC.",
    "macro": "a metric computed for each class in turn, and averaged over the classes.",
    "micro precision, recall": "a class is claimed where its probability is above 0.5: the part of all claims that is "
    "right, and of all units the part that is rightly claimed. Keras's Precision and Recall, which papers print.",
    "segment, recording": "a segment is one window; a recording is judged by the mean probability of its windows, "
    "in which all count the same, or as config.evaluate.aggregation says.",
    "at 0.5": "decided for the likelier class, as papers do. Other figures are decided at the threshold that is best "
    "for MAcc on validation data.",
    "interval": "below or beside a figure: 95 % bootstrap interval, drawn over groups of recordings that belong "
    "together (subjects where known), not over windows.",
    "\N{EN DASH}": "not there, or not defined: the precision of a class for which nothing was decided, say.",
}

# Outside the tables of rates.
OTHERS = {
    "ece": "ECE",
    "ece_of_noise": "ECE of noise alone",
    "brier": "Brier score",
    "sensitivity@specificity0.9": "sensitivity at the operating point",
    "specificity@specificity0.9": "specificity there",
    "mcnemar": "McNemar, decisions",
    "delong": "DeLong by group, AUROC",
    "z-one-tailed:accuracy": "z-test of Song et al., one-tailed, accuracy",
    "wilcoxon:accuracy": "Wilcoxon over seeds and folds, accuracy",
}

# Of rows that are of no model: prefixes of their metric.
CONTROLS = {
    "subset_from_audio": "sub-dataset told from the audio",
    "label_from_subset": "label told from the sub-dataset",
}

# Of published figures, by what their rows have in place of a seed.
SOURCES = {
    "song2023": "Song et al., EMBC 2023, Tables II and III",
    "mahapatra2025": "Mahapatra 2025, Tables 5.2, 5.4 and 5.6",
    "sriram": "Sriram, Tables 1 to 3",
    "birton": "Birton, Tables 3 to 6",
    "sarkhel": "Sarkhel, claims of the text",
}

# The same works as whoever builds on them has to name them.
CITATIONS = {
    "song2023": "Song Z, Zhu L, Wang Y, Sun M, Qian K, Hu B, Yamamoto Y, Schuller BW. Cutting Weights of Deep Learning "
    "Models for Heart Sound Classification: Introducing a Knowledge Distillation Approach. EMBC 2023.",
    "mahapatra2025": "Mahapatra S. Lightweight Deep Learning Model for Resource Constraint Devices to Classify Heart "
    "Sound Signals. Project report, National Institute of Technology Rourkela, 2025.",
    "sriram": "Sriram P. Teacher-Student Distillation for Heart Sound Classification.",
    "birton": "Birton L. Compressed Convolutional Neural Networks for the Classification of Electrocardiogram Signals "
    "on Embedded Devices. 28th Twente Student Conference on IT, 2018.",
}

# What keeps published figures from being compared with ours to the letter.
SOURCE_NOTES = {
    "song2023": "Their segments are single heart cycles (37,631 of 3,240 recordings), zero-padded to 2.5 s after spike "
    "removal; ours are windows of 2.5 s cut without regard to the heart, unless config.prepare.cut is "
    "cycles. Their FLOPs (1,009.8 M and 66.7 M) fit no "
    "network with their parameter counts and are not reproduced; our multiply-adds are counted in the traced network.",
    "sarkhel": "The report has no table, no definition of its split and no number of seeds: these are two sentences of "
    "its text (more than 80 % accuracy on average over all models, 2 to 4 % more with K-means in almost all of them). "
    "The protocol beside them is our definition.",
    "birton": "The sizes are megabytes of ZIP files, and of float networks of files that hold the optimiser's state "
    "beside the weights: against weights alone the paper's ratios are about three times too good. Its beats are "
    "of all records of MIT-BIH; ours are of those at hand.",
}


def decided(positive: str | None) -> str:
    """How plain metrics decide, with and without a class to detect."""
    return "decided at the threshold chosen on validation" if positive else "decided for the likeliest class"


# Of exported files, as a published figure names them: `bytes:onnx-float32`.
_OF_FILES = {"bytes": "MiB", "zipped_bytes": "zipped bytes", "median_microseconds": "median time, µs"}
_FORMS = {"jax": "weights alone"}
SIZE_OF_FILE = "bytes:"


def metric(name: str) -> str:
    """The name of a metric for readers, its suffix and prefix included."""
    for prefix, word in ((DIFFERENCE, "difference of "), (SPREAD, "standard deviation of ")):
        if name.startswith(prefix):
            return word + metric(name.removeprefix(prefix))
    control, colon, figure = name.partition(":")
    if colon and control in CONTROLS:
        return f"{CONTROLS[control]}: {metric(figure)}"
    if name.startswith(P_VALUE):
        return metric(name.removeprefix(P_VALUE))
    if name.endswith(AT_HALF):
        return f"{metric(name.removesuffix(AT_HALF))} at 0.5"
    known = METRICS | OTHERS
    if colon and name not in known and control.partition("@")[0] in _OF_FILES:
        amount, _, batch = control.partition("@")
        return f"{_OF_FILES[amount]}{f', batch of {batch}' if batch else ''}, {_FORMS.get(figure, figure)}"
    return known.get(name, name.replace("_", " "))
