import collections
import os
import pathlib
import pickle
import time

import numpy as np
import pytest
import scipy.io
import scipy.io.wavfile
import scipy.signal
import scipy.stats
import sklearn.linear_model
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing

from hsjax.data import synthetic
from hsjax.data.synthetic import Task
from hsjax.types import HEART_STATES, HeartState, UserError

BANDS = ((25, 60), (60, 150), (150, 300), (300, 600))


def described(subjects=8, recordings_per_subject=1, seconds=4.0, **options):
    return synthetic.dataset(
        subjects=subjects, recordings_per_subject=recordings_per_subject, seconds=seconds, **options
    )


@pytest.fixture(scope="module")
def conditions():
    """Ordinary recordings of 60 subjects, as (recording, samples, states)."""
    dataset = described(60, 2, 8.0, sample_rate=2000, task=Task.CONDITION, seed=5)
    return [(recording, recording.read(), recording.annotation()) for recording in dataset.recordings]


@pytest.fixture(scope="module")
def quiet():
    """The same hearts without any disturbance."""
    dataset = described(60, 2, 8.0, sample_rate=2000, task=Task.CONDITION, seed=5, noise=0.0)
    return [(recording, recording.read(), recording.annotation()) for recording in dataset.recordings]


def onsets(states, state):
    """Samples at which a state begins, without the first and last of the recording, which may be cut."""
    return np.flatnonzero((states[1:] == state) & (states[:-1] != state)) + 1


def state_powers(samples, states, sample_rate=2000):
    """Mean power in each band of each state, (4 states, bands), from a short-time spectrum."""
    frequencies, times, power = scipy.signal.spectrogram(samples, sample_rate, nperseg=128, noverlap=96)
    at = states[np.round(times * sample_rate).astype(int)]
    in_band = [power[(frequencies >= low) & (frequencies < high)].sum(0) for low, high in BANDS]
    return np.array([[band[at == state].mean() for band in in_band] for state in HEART_STATES])


def test_description():
    dataset = described(3, 2, seed=1, task=Task.BINARY)
    assert dataset.name == "synthetic"
    assert dataset.synthetic
    assert dataset.classes == ("normal", "abnormal")
    assert dataset.positive == "abnormal"
    assert [r.id for r in dataset.recordings] == [f"s000{s}-r{r}" for s in range(3) for r in range(2)]
    assert {r.group for r in dataset.recordings} == {"s0000", "s0001", "s0002"}
    for recording in dataset.recordings:
        assert recording.group == recording.subject
        assert recording.path is None
        assert (recording.label == "normal") == (recording.subset == "N")
    five = described(5, task=Task.CONDITION)
    assert five.classes == ("AS", "MR", "MS", "MVP", "N")
    assert five.positive is None
    assert all(r.label == r.subset for r in five.recordings)


def test_recordings_are_sorted_by_id_and_ids_unique():
    ids = [recording.id for recording in described(2, 11).recordings]
    assert ids == sorted(set(ids))
    assert len(ids) == 22


@pytest.mark.parametrize("subjects", [8, 40, 120])
def test_binary_classes_are_balanced(subjects):
    dataset = described(subjects, 2)
    of_subject = {recording.subject: recording.subset for recording in dataset.recordings}
    count = collections.Counter(of_subject.values())
    assert count == {"N": subjects // 2} | dict.fromkeys(("AS", "MR", "MS", "MVP"), subjects // 8)
    assert collections.Counter(r.label for r in dataset.recordings) == {"normal": subjects, "abnormal": subjects}


@pytest.mark.parametrize("subjects", [5, 12, 50])
def test_conditions_are_balanced_up_to_a_remainder(subjects):
    count = collections.Counter(r.label for r in described(subjects, task="condition").recordings)
    assert set(count) == {"AS", "MR", "MS", "MVP", "N"}
    assert max(count.values()) - min(count.values()) <= 1


@pytest.mark.parametrize("task", Task)
def test_order_of_subjects_tells_nothing_about_the_condition(task):
    # With blocks of 5 or 8 in a fixed order, some places in the block would never hold some conditions.
    dataset = described(400, task=task)
    for block in (2, 5, 8):
        for place in range(block):
            assert {r.subset for r in dataset.recordings[place::block]} == {"AS", "MR", "MS", "MVP", "N"}


def test_lengths_are_known_before_rendering_and_vary_by_a_quarter():
    dataset = described(100, 2, 2.0, sample_rate=1000)
    for recording in dataset.recordings[:20]:
        samples, states = recording.read(), recording.annotation()
        assert samples.shape == states.shape == (recording.num_samples,)
        assert samples.dtype == np.float32
        assert states.dtype == np.int8
    seconds = np.array([r.num_samples / r.sample_rate for r in dataset.recordings])
    assert 1.5 <= seconds.min() < 1.6
    assert 2.4 < seconds.max() <= 2.5
    assert seconds.mean() == pytest.approx(2.0, abs=0.06)


def test_a_recording_is_the_same_alone_in_any_order_and_in_any_number():
    many = described(9, 3, seed=7).recordings
    backwards = {recording.id: recording.read().tobytes() for recording in reversed(many)}
    for recording in described(4, 2, seed=7).recordings:
        assert pickle.loads(pickle.dumps(recording)).read().tobytes() == backwards[recording.id]
    again = {recording.id: recording.annotation().tobytes() for recording in many}
    assert all(r.annotation().tobytes() == again[r.id] for r in described(4, 2, seed=7).recordings)
    assert len(set(backwards.values())) == len(backwards)


def test_seeds_differ():
    first, second = (described(seed=seed).recordings[0] for seed in (0, 1))
    assert first.num_samples != second.num_samples
    assert not np.array_equal(first.read()[:1000], second.read()[:1000])


@pytest.mark.parametrize("sample_rate", [1000, 2000, 4000, 44100])
def test_samples_are_finite_and_within_full_scale(sample_rate):
    for recording in described(8, 1, 3.0, sample_rate=sample_rate, noise=3.0).recordings:
        samples = recording.read()
        assert np.isfinite(samples).all()
        assert 0.05 < np.abs(samples).max() <= 1.0


def test_shortest_silent_recordings_still_hold_a_heart_sound():
    for recording in described(60, 1, 2.0, sample_rate=1000, noise=0.0).recordings:
        assert np.isfinite(recording.read()).all()
        assert np.abs(recording.read()).max() > 0.05


def test_sample_rate_changes_sampling_and_not_the_heart():
    fast = described(8, 1, 4.0, sample_rate=4000, seed=2, noise=0.0).recordings
    slow = described(8, 1, 4.0, sample_rate=2000, seed=2, noise=0.0).recordings
    for a, b in zip(fast, slow, strict=True):
        assert abs(a.num_samples - 2 * b.num_samples) <= 1
        n = min((a.num_samples + 1) // 2, b.num_samples)
        assert np.mean(a.annotation()[::2][:n] != b.annotation()[:n]) < 0.001
        if a.subset == "N":  # murmurs are noise, and noise has its own samples at each rate
            assert np.corrcoef(a.read()[::2][:n], b.read()[:n])[0, 1] > 0.95


def test_states_cycle_at_a_physiological_rate(conditions):
    for _, _, states in conditions:
        changes = np.flatnonzero(np.diff(states)) + 1
        np.testing.assert_array_equal(states[changes], states[changes - 1] % 4 + 1)
        intervals = np.diff(onsets(states, HeartState.S1)) / 2000
        assert (60 / intervals > 40).all()
        assert (60 / intervals < 140).all()
        # Heart-rate variability at rest: the coefficient of variation of RR is a few per cent.
        assert 0.004 < intervals.std() / intervals.mean() < 0.15


def durations(states, state, following, sample_rate=2000):
    """Seconds of each complete occurrence of a state."""
    start, end = onsets(states, state), onsets(states, following)
    return (end[end > start[0]][: start.size] - start[: end[end > start[0]].size]) / sample_rate


def test_states_last_as_long_as_they_should(conditions):
    means = {
        state: np.array([durations(states, state, HeartState(state % 4 + 1)).mean() for _, _, states in conditions])
        for state in HEART_STATES
    }
    # Schmidt et al. 2010: S1 122 +- 32 ms, S2 92 +- 28 ms (95 % intervals).
    assert means[HeartState.S1].mean() == pytest.approx(0.122, abs=0.005)
    assert means[HeartState.S2].mean() == pytest.approx(0.092, abs=0.005)
    assert ((means[HeartState.S1] > 0.09) & (means[HeartState.S1] < 0.154)).all()
    assert ((means[HeartState.S2] > 0.064) & (means[HeartState.S2] < 0.12)).all()
    # At rest the heart fills longer than it ejects.
    assert np.mean(means[HeartState.SYSTOLE] < means[HeartState.DIASTOLE]) > 0.95


def test_energy_of_quiet_normals_concentrates_in_their_sounds(quiet):
    for recording, samples, states in quiet:
        if recording.subset == "N":
            sounding = np.isin(states, (HeartState.S1, HeartState.S2))
            assert np.sum(samples[sounding] ** 2) > 0.85 * np.sum(samples**2)


def test_s2_is_higher_than_s1(quiet):
    differences = []
    for recording, samples, states in quiet:
        if recording.subset != "N":
            continue
        centroids = []
        for state in (HeartState.S1, HeartState.S2):
            start = onsets(states, state)
            start = start[start + 256 <= samples.size]
            spectrum = np.mean([np.abs(np.fft.rfft(samples[a : a + 256])) ** 2 for a in start], axis=0)
            centroids.append(np.sum(np.fft.rfftfreq(256, 1 / 2000) * spectrum) / spectrum.sum())
        assert 25 < centroids[0] < 120
        differences.append(centroids[1] - centroids[0])
    # Not in everybody: frequencies of the two sounds overlap between people.
    assert np.median(differences) > 5.0
    assert np.mean(np.array(differences) > 0.0) > 0.6


def decibels(recordings, subset, feature):
    return np.median([10 * np.log10(feature(state_powers(x, s))) for r, x, s in recordings if r.subset == subset])


@pytest.mark.parametrize("condition", ["AS", "MR", "MVP"])
def test_systolic_murmurs_sound_in_systole(conditions, condition):
    def systole_over_diastole(power):
        return power[HeartState.SYSTOLE - 1, 1:3].sum() / power[HeartState.DIASTOLE - 1, 1:3].sum()

    normal = decibels(conditions, "N", systole_over_diastole)
    assert abs(normal) < 4.0
    assert decibels(conditions, condition, systole_over_diastole) > normal + 4.0


def test_mitral_stenosis_rumbles_low_in_diastole(conditions):
    def diastole_over_systole(power):
        return power[HeartState.DIASTOLE - 1, 1] / power[HeartState.SYSTOLE - 1, 1]

    assert decibels(conditions, "MS", diastole_over_systole) > decibels(conditions, "N", diastole_over_systole) + 4.0

    def low_over_high(power):
        return power[HeartState.DIASTOLE - 1, 1] / power[HeartState.DIASTOLE - 1, 2]

    assert decibels(conditions, "MS", low_over_high) > 3.0


def test_noise_scales_all_disturbances_and_nothing_else():
    def floor(noise):
        """Power of diastole relative to S1, dB, in recordings without murmur and extra sounds in diastole."""
        levels = []
        for recording in described(30, 1, 4.0, sample_rate=2000, task="condition", noise=noise).recordings:
            if recording.subset in ("AS", "N"):
                samples, states = recording.read(), recording.annotation()
                power = {state: np.median(samples[states == state] ** 2) for state in HEART_STATES}
                levels.append(10 * np.log10((power[HeartState.DIASTOLE] + 1e-20) / power[HeartState.S1]))
        return np.median(levels)

    silent, soft, ordinary, loud = floor(0.0), floor(0.1), floor(1.0), floor(4.0)
    assert silent < soft - 10
    # While diastole is nothing but noise, ten times the amplitude is 20 dB.
    assert ordinary - soft == pytest.approx(20.0, abs=4.0)
    assert loud > ordinary + 5


def test_the_task_is_neither_trivial_nor_hopeless(conditions):
    # Powers of bands and states relative to S1's total, for which the true states are needed: a linear model.
    features, labels, groups = [], [], []
    for recording, samples, states in conditions:
        power = state_powers(samples, states)
        features.append(np.log(power / power[0].sum()).ravel())
        labels.append(recording.subset)
        groups.append(recording.group)
    model = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(), sklearn.linear_model.LogisticRegression(C=0.3, max_iter=300)
    )
    folds = sklearn.model_selection.GroupKFold(5)
    score = sklearn.model_selection.cross_val_score(model, features, labels, groups=groups, cv=folds).mean()
    assert 0.4 < score < 0.97  # chance is 0.2


def test_gain_and_length_do_not_tell_the_condition(conditions):
    for feature in (lambda r, x: np.abs(x).max(), lambda r, x: r.num_samples):
        by_condition = collections.defaultdict(list)
        for recording, samples, _ in conditions:
            by_condition[recording.subset].append(feature(recording, samples))
        assert scipy.stats.kruskal(*by_condition.values()).pvalue > 0.01


def test_rendering_is_fast():
    recordings = described(12, 1, 10.0).recordings
    start = time.process_time()
    seconds = sum(recording.read().size / recording.sample_rate for recording in recordings)
    # About 800 times real time on one idle core; the checks of types and a busy machine cost some of it.
    assert seconds / (time.process_time() - start) > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": 0}, "at least one subject"),
        ({"recordings_per_subject": 0}, "at least one subject"),
        ({"seconds": 1.9}, "raise seconds"),
        ({"seconds": float("nan")}, "raise seconds"),
        ({"seconds": float("inf")}, "raise seconds"),
        ({"sample_rate": 800}, "sample_rate"),
        ({"noise": -0.1}, "take 0 or more"),
        ({"noise": float("nan")}, "take 0 or more"),
        ({"seed": -1}, "take 0 or more"),
        ({"task": "murmur"}, "binary, condition"),
    ],
)
def test_bad_arguments_say_what_to_do(options, message):
    with pytest.raises(UserError, match=message):
        described(**options)


@pytest.mark.realdata
def test_timing_and_levels_resemble_physionet2016(conditions):
    root = pathlib.Path(os.environ["HSJAX_DATA"]) / "physionet2016"
    files = sorted((root / "annotations" / "hand_corrected").glob("*/*_StateAns.mat"))
    real = [features for path in files[::40] if (features := _real_features(root, path)) is not None]
    ours = [features for _, samples, states in conditions if (features := _features(samples, states)) is not None]
    assert len(real) > 30
    real, ours = np.array(real), np.array(ours)
    # From S1 to S2 and its slope with heart rate, variability of RR, level of S2 and of diastole relative to S1.
    for column, tolerance in ((1, 0.03), (2, 0.03), (3, 4.0), (4, 5.0)):
        assert np.median(ours[:, column]) == pytest.approx(np.median(real[:, column]), abs=tolerance)
    slopes = [np.polyfit(60 / rows[:, 0], rows[:, 1], 1)[0] for rows in (ours, real)]
    assert slopes[0] == pytest.approx(slopes[1], abs=0.0008)


def _real_features(root, path):
    record = path.name.split("_")[0]
    _, samples = scipy.io.wavfile.read(root / f"training-{record[0]}" / f"{record}.wav")
    answer = scipy.io.loadmat(path, squeeze_me=True)["state_ans"]
    states = np.zeros(samples.size, np.int8)
    names = {"S1": HeartState.S1, "systole": HeartState.SYSTOLE, "S2": HeartState.S2, "diastole": HeartState.DIASTOLE}
    ends = [*(int(row[0]) for row in answer[1:]), samples.size]
    for row, end in zip(answer, ends, strict=True):
        states[int(row[0]) - 1 : end - 1] = names.get(str(np.ravel(row[1])[0]), 0)
    return _features(samples / 32768, states)


def _features(samples, states):
    """RR, S1 to S2 (s), variation of RR, and levels of S2 and diastole relative to S1 (dB, 25 to 400 Hz)."""
    s1, s2 = onsets(states, HeartState.S1), onsets(states, HeartState.S2)
    if s1.size < 4 or s2.size < 4:
        return None
    s1_to_s2 = [s2[s2 > a][0] - a for a in s1 if (s2 > a).any()]
    intervals = np.diff(s1) / 2000
    sections = scipy.signal.butter(2, [25, 400], "band", fs=2000, output="sos")
    power = scipy.signal.sosfiltfilt(sections, samples) ** 2
    level = {}
    for state in (HeartState.S1, HeartState.S2, HeartState.DIASTOLE):
        start = onsets(states, state)
        level[state] = 10 * np.log10(np.median([power[a : a + 160].mean() for a in start if a + 160 < power.size]))
    return (
        np.median(intervals),
        np.median(s1_to_s2) / 2000,
        intervals.std() / intervals.mean(),
        level[HeartState.S2] - level[HeartState.S1],
        level[HeartState.DIASTOLE] - level[HeartState.S1],
    )
