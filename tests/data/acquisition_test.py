import numpy as np
import pytest
import scipy.signal

from hsjax.data import acquisition, physiology
from hsjax.data.physiology import Condition

SAMPLE_RATE = 4000


@pytest.mark.parametrize("sensor", acquisition.SENSORS)
def test_sensor_response_is_butterworth_and_a_resonance(sensor):
    frequencies = np.geomspace(1.0, 2000.0, 200)
    high = scipy.signal.freqs(*scipy.signal.butter(2, sensor.high_pass, "high", analog=True), frequencies)[1]
    low = scipy.signal.freqs(*scipy.signal.butter(2, sensor.low_pass, "low", analog=True), frequencies)[1]
    # An ideal peaking equaliser, written as 1 + (gain - 1) * band-pass.
    ratio = frequencies / sensor.resonance
    bandpass = (1j * ratio / sensor.quality) / (1 - ratio**2 + 1j * ratio / sensor.quality)
    expected = high * low * (1 + (10 ** (sensor.boost / 20) - 1) * bandpass)
    np.testing.assert_allclose(acquisition.sensor_response(sensor, frequencies), expected, rtol=1e-9)


def test_chest_attenuates_the_heart_and_not_the_room():
    sensor = acquisition.SENSORS[0]
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone, silence = np.sin(2 * np.pi * 300 * time), np.zeros(time.size)
    heart = acquisition.transmit(tone, silence, SAMPLE_RATE, 100.0, sensor)
    room = acquisition.transmit(silence, tone, SAMPLE_RATE, 100.0, sensor)
    middle = slice(SAMPLE_RATE // 2, 3 * SAMPLE_RATE // 2)
    # First order at three times the corner: 1 / sqrt(1 + 9).
    assert heart[middle].std() / room[middle].std() == pytest.approx(10**-0.5, rel=1e-3)


@pytest.mark.parametrize("sensor", acquisition.SENSORS)
def test_transmission_does_not_wrap_around(sensor):
    impulse = np.zeros(2 * SAMPLE_RATE)
    impulse[-400] = 1.0
    heard = acquisition.transmit(impulse, np.zeros(impulse.size), SAMPLE_RATE, 150.0, sensor)
    assert np.abs(heard[: SAMPLE_RATE // 2]).max() < 1e-3 * np.abs(heard).max()
    assert np.abs(heard).argmax() >= impulse.size - 402


def draws(function, count=40, seconds=8):
    """A disturbance in many recordings of one subject, `(count, time)`, and their rhythms."""
    someone = physiology.draw_subject(np.random.default_rng(0), Condition.N)
    rhythms = [physiology.draw_rhythm(np.random.default_rng(k), someone, seconds) for k in range(count)]
    size = (seconds * SAMPLE_RATE, SAMPLE_RATE)
    heard = [function(np.random.default_rng(k), someone, r, *size) for k, r in enumerate(rhythms)]
    return someone, rhythms, np.array(heard)


def test_breathing_is_heard_in_time_with_the_breath():
    # High-passed, the room is quiet and what remains follows the flow of air.
    someone, rhythms, heard = draws(acquisition.disturbances)
    sections = scipy.signal.butter(4, [150, 600], "band", fs=SAMPLE_RATE, output="sos")
    times = np.arange(heard.shape[1]) / SAMPLE_RATE
    louder = []
    for rhythm, samples in zip(rhythms, scipy.signal.sosfiltfilt(sections, heard), strict=True):
        flow = physiology.breath(rhythm, someone, times)
        louder.append(np.median(np.abs(samples[flow > 0.7])) / np.median(np.abs(samples[np.abs(flow) < 0.2])))
    assert np.median(louder) > 1.2
    assert min(louder) > 0.5


def test_rooms_differ():
    _, _, heard = draws(acquisition.disturbances)
    levels = 20 * np.log10(np.median(np.abs(heard), axis=1))
    assert np.isfinite(heard).all()
    assert 3.0 < levels.std() < 12.0


def test_mains_hum_in_some_recordings():
    noise = np.array([acquisition.electronics(np.random.default_rng(k), 4000, SAMPLE_RATE) for k in range(200)])
    spectrum = np.abs(np.fft.rfft(noise))  # 1 Hz a bin
    floor = np.median(spectrum, axis=1)
    hums = [(spectrum[:, mains] > 20 * floor) for mains in (50, 60)]
    # Each is expected in 25 of 200 recordings, standard deviation 4.7; never both.
    assert all(8 <= hum.sum() <= 42 for hum in hums)
    assert not (hums[0] & hums[1]).any()
