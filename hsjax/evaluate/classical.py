"""Models of scikit-learn with constants as they come: what a network has to be better than."""

import enum
from typing import Any

import numpy as np
from jaxtyping import Float, Int


class Classical(enum.Enum):
    """A classical model; MAJORITY always says how frequent each class is in training."""

    MAJORITY = "majority"
    LOGISTIC = "logistic-regression"
    LINEAR_SVM = "linear-svm"
    RBF_SVM = "rbf-svm"
    FOREST = "random-forest"
    NEIGHBOURS = "nearest-neighbours"
    BOOSTING = "gradient-boosting"


def fit_predict(
    model: Classical,
    train: Float[np.ndarray, "n dims"],
    label: Int[np.ndarray, " n"],
    num_classes: int,
    examples: Float[np.ndarray, "m dims"],
    *,
    seed: int,
) -> Float[np.ndarray, "m classes"]:
    """Class probabilities of examples, by a model fitted on others; features are standardised on these.

    Classes weigh the same where the model can weigh them. Support vector machines have Platt's probabilities, fitted on
    folds of the training examples. A class that training lacks has probability 0.

    Args:
      model: with scikit-learn's constants.
      train: features of the training examples.
      label: their classes.
      num_classes: of the dataset.
      examples: to predict.
      seed: of what is random in the model.

    Raises:
      ValueError: a support vector machine has a single training example of a class.
    """
    from sklearn import pipeline, preprocessing  # takes more than a second

    found = np.zeros((len(examples), num_classes))
    if len(seen := np.unique(label)) == 1:  # nothing to tell apart
        found[:, seen[0]] = 1
        return found
    fitted = pipeline.make_pipeline(preprocessing.StandardScaler(), _estimator(model, label, seed)).fit(train, label)
    found[:, fitted.classes_] = fitted.predict_proba(examples)
    return found


def _estimator(model: Classical, label: np.ndarray, seed: int) -> Any:
    from sklearn import calibration, dummy, ensemble, linear_model, neighbors, svm  # takes more than a second

    match model:
        case Classical.MAJORITY:
            return dummy.DummyClassifier(strategy="prior")
        case Classical.LOGISTIC:
            return linear_model.LogisticRegression(max_iter=2000, class_weight="balanced")
        case Classical.LINEAR_SVM | Classical.RBF_SVM:
            kernel = "linear" if model is Classical.LINEAR_SVM else "rbf"
            # No more folds than the rarest class has examples.
            folds = int(min(5, np.unique(label, return_counts=True)[1].min()))
            if folds < 2:
                raise ValueError(f"{model.value} needs two training examples of every class")
            machine = svm.SVC(kernel=kernel, class_weight="balanced", random_state=seed)
            return calibration.CalibratedClassifierCV(machine, cv=folds, ensemble=False)
        case Classical.FOREST:
            return ensemble.RandomForestClassifier(500, class_weight="balanced", random_state=seed)
        case Classical.NEIGHBOURS:
            return neighbors.KNeighborsClassifier(min(5, len(label)))
        case Classical.BOOSTING:
            return ensemble.HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)
