"""StreamingDecoder: any chunks give what one causal pass gives."""

import copy
import tracemalloc

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, sosfilt_zi
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTClassifier,
    MDJPTEncoder,
    RunningNormalizer,
    SubjectScaler,
    WindowAlignment,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import combined, shared_features, tangent_space
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.model_selection import LeaveSubjectsOut
from sklearn_mdjpt.streaming import StreamingDecoder, decode_lsl
from sklearn_mdjpt.streaming._signals import CausalResampler, Samples
from sklearn_mdjpt.trust import SelectiveClassifier
from sklearn_mdjpt.windows._resampling import resample


@pytest.fixture(scope="module")
def data():
    """Return windows to train on, and the recording of somebody else."""
    from conftest import CAPS, _recording

    rng = np.random.default_rng(0)
    cap, sfreq = CAPS["A"]
    recordings = [
        _recording("A", f"{k:02d}", n_stimuli=6, trial_seconds=4.0, rng=rng,
                   ch_names=cap, sfreq=sfreq)
        for k in (1, 2, 3)
    ]  # fmt: skip
    X = EEGWindows.from_recordings(
        recordings[:2], window_seconds=2.0, stride_seconds=1.0
    )
    return X, recordings[2]


def _encoder(**changes):
    return MDJPTEncoder.small(
        max_epochs=1, batches_per_epoch=1, patch_stride=32, random_state=0, **changes
    )


def _model(*steps, extractor=None):
    features = WindowFeatures(extractor or DifferentialEntropy(), list(steps))
    return make_pipeline(features, LogisticRegression(max_iter=5000))


MODELS = {
    "alone": lambda X: make_pipeline(
        DifferentialEntropy(), LogisticRegression(max_iter=5000)
    ),
    "scaled": lambda X: _model(SubjectScaler()),
    "smoothed": lambda X: _model(SubjectScaler(), LDSSmoother(transition_noise=0.1)),
    "running": lambda X: _model(RunningNormalizer(), LDSSmoother()),
    "shared": lambda X: make_pipeline(
        shared_features(X, parts="entropy", smoothing="lds"),
        StandardScaler(),
        LogisticRegression(max_iter=5000),
    ),  # fmt: skip
    "mdJPT": lambda X: make_pipeline(_encoder(), LogisticRegression(max_iter=5000)),
    "head": lambda X: MDJPTClassifier(_encoder(), "lds", max_epochs=1, random_state=0),
    "pooled": lambda X: combined(
        _encoder(), "lds", parts=("mdjpt", "entropy", "tangent")
    ),
}


def _decoder(model, recording, **options):
    options = {"window_seconds": 2.0, "calibration_seconds": 6.0} | options
    return StreamingDecoder(
        model, ch_names=recording.ch_names, sfreq=recording.sfreq, **options
    )


def _run(decoder, signal, sizes):
    outputs, start, k = [], 0, 0
    while start < signal.shape[1]:
        stop = start + sizes[k % len(sizes)]
        outputs += decoder.push(signal[:, start:stop])
        start, k = stop, k + 1
    times = np.array([time for time, _ in outputs])
    return times, np.array([probabilities for _, probabilities in outputs])


# Models of the same parts as others.
_SLOW = ("head", "pooled", "running")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name
        for name in MODELS
    ],
)
def test_chunks_do_not_matter(data, name):
    X, recording = data
    model = MODELS[name](X).fit(X, X.y)
    signal = recording.signal[:, :3000]  # 15 s
    found = {}
    for sizes in ([3000], [50], [7, 100, 1, 333]):
        decoder = _decoder(model, recording, l_freq=0.5, h_freq=40.0)
        found[str(sizes)] = _run(decoder, signal, sizes)
        assert [event.kind for event in decoder.events_] == ["calibrated"]
    whole, *others = found.values()
    assert whole[0][0] == 7.0 and whole[0][-1] == 14.0  # 15 s wait for the resampler
    np.testing.assert_allclose(whole[1].sum(axis=1), 1.0, rtol=1e-6)
    for times, probabilities in others:
        np.testing.assert_allclose(times, whole[0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(probabilities, whole[1], rtol=0, atol=1e-6)


def test_single_samples(data):
    X, recording = data
    model = MODELS["smoothed"](X).fit(X, X.y)
    signal = recording.signal[:, :2000]
    options = {"l_freq": 0.5, "stride_seconds": 0.25}
    whole = _run(_decoder(model, recording, **options), signal, [2000])
    one = _run(_decoder(model, recording, **options), signal, [1])
    np.testing.assert_allclose(one[1], whole[1], rtol=0, atol=1e-6)


def test_it_is_what_one_pass_computes_by_hand(data):
    X, recording = data
    model = MODELS["smoothed"](X).fit(X, X.y)
    signal = recording.signal.astype(float)
    decoder = _decoder(model, recording, l_freq=1.0)
    times, probabilities = _run(decoder, signal, [80])
    # One causal pass over all samples, offline resampling, windows, calibration.
    sections = butter(4, 1.0, "highpass", fs=200.0, output="sos")
    rest = sosfilt_zi(sections)[:, None] * signal[None, :, :1]
    passed = sosfilt(sections, signal, axis=1, zi=rest)[0]
    slow = resample(passed, 200.0, 125.0)
    ends = np.arange(2, 24)
    cut = [slow[:, (end - 2) * 125 : end * 125] for end in ends]
    windows = EEGWindows.from_arrays(
        np.stack(cut), ch_names=recording.ch_names, sfreq=125.0, dataset="stream",
        subject="1", session="1", trial="1", onset=ends.astype(float),
    )  # fmt: skip
    n_first = 5  # windows that end at 2, 3, ..., 6 s
    ready = calibrate(model, windows[:n_first])
    ready[0].steps_[1][1].set_params(causal=True)
    expected = ready.predict_proba(windows[n_first:])
    assert times.tolist() == ends[n_first:][: len(times)].tolist()
    np.testing.assert_allclose(
        probabilities, expected[: len(probabilities)], rtol=0, atol=1e-3
    )


def test_resampling_is_that_of_recordings():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3000))
    x[:, 0] = x[:, -1] = 0.0  # offline takes the line between them out
    for sfreq in (250.0, 200.0, 512.0, 1000.0, 128.0):
        resampler = CausalResampler(sfreq, 125.0)
        parts = [resampler.push(x[:, k : k + 37]) for k in range(0, 3000, 37)]
        found = np.concatenate(parts, axis=1)
        expected = resample(x, sfreq, 125.0)
        n = found.shape[1]
        wait = resampler.delay * 125.0
        assert expected.shape[1] - n <= wait + 1
        np.testing.assert_allclose(found, expected[:, :n], atol=1.5e-3)
        assert 0 < resampler.delay < 0.15
    same = CausalResampler(125.0, 125.0)
    np.testing.assert_array_equal(same.push(x), x)


def test_a_calibrated_model_needs_no_calibration_of_its_own(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    theirs = EEGWindows.from_recordings([recording], window_seconds=2.0)
    ready = calibrate(model, theirs[:4])
    decoder = _decoder(ready, recording, calibration_seconds=None)
    assert decoder.subject == "A/03"
    times, _ = _run(decoder, recording.signal, [400])
    assert times[0] == 2.0
    with pytest.raises(ValueError, match="SubjectScaler.*not calibrated to 'A/09'"):
        _decoder(ready, recording, calibration_seconds=None, subject="A/09")
    both = calibrate(ready, X[:4])
    with pytest.raises(ValueError, match="calibrated to 2 people"):
        _decoder(both, recording, calibration_seconds=None)
    _decoder(both, recording, calibration_seconds=None, subject="A/01")


@pytest.mark.parametrize("name", ["scaled", "mdJPT", "pooled"])
def test_what_goes_by_all_windows_is_refused(data, name):
    X, recording = data
    model = MODELS[name](X).fit(X, X.y)
    with pytest.raises(ValueError, match="Give calibration_seconds"):
        _decoder(model, recording, calibration_seconds=None)


def test_what_takes_windows_alone_is_not_refused(data):
    X, recording = data
    pooled = _model(SubjectScaler("pooled"), extractor=_encoder(subject_norm="train"))
    for model in (MODELS["alone"](X), pooled):
        decoder = _decoder(model.fit(X, X.y), recording, calibration_seconds=None)
        times, found = _run(decoder, recording.signal[:, :1200], [400])
        assert len(times) == 4 and np.isfinite(found).all()


def test_gaps(data):
    X, recording = data
    model = MODELS["smoothed"](X).fit(X, X.y)
    signal, sfreq = recording.signal, recording.sfreq
    whole = _run(_decoder(model, recording), signal, [200])
    # Skipped by the stamps: 0.05 s is bridged, 0.5 s is a gap.
    for lost, kinds in ((10, ["calibrated"]), (100, ["calibrated", "gap"])):
        decoder, outputs = _decoder(model, recording), []
        for start in range(0, signal.shape[1], 200):
            chunk = signal[:, start : start + 200]
            if start == 2000:  # the first samples of this chunk never come
                outputs += decoder.push(chunk[:, lost:], time=(start + lost) / sfreq)
            else:
                outputs += decoder.push(chunk, time=start / sfreq)
        assert [event.kind for event in decoder.events_] == kinds
        times = [time for time, _ in outputs]
        if lost == 10:
            np.testing.assert_allclose(times, whole[0])
        else:
            assert decoder.events_[1].time == pytest.approx(10.0)
            assert "0.500 s" in decoder.events_[1].text
            # The window begins after the gap.
            expected = [t for t in whole[0] if t <= 9.0]
            expected += list(np.arange(12.5, times[-1] + 0.1, 1.0))
            np.testing.assert_allclose(times[: len(expected)], expected)
            # NaN in place of the samples are the same gap, in any chunks.
            holes = signal.copy()
            holes[:, 2000:2100] = np.nan
            other = _decoder(model, recording)
            found = _run(other, holes, [333])
            np.testing.assert_allclose(found[0], times)
            np.testing.assert_allclose(
                found[1], [p for _, p in outputs], rtol=0, atol=1e-6
            )


def test_samples_that_came_before_are_left_out(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    options = {"calibration_seconds": None}
    signal = recording.signal[:, :1600]
    whole = _run(_decoder(model, recording, **options), signal, [1600])
    decoder = _decoder(model, recording, **options)
    outputs = decoder.push(signal[:, :800], time=0.0)
    outputs += decoder.push(signal[:, 700:], time=3.5)
    assert [event.kind for event in decoder.events_] == ["overlap"]
    np.testing.assert_allclose([p for _, p in outputs], whole[1], atol=1e-9)


def test_a_late_start_has_its_own_clock(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    early, late = _decoder(model, recording), _decoder(model, recording)
    expected = _run(early, recording.signal, [4800])
    outputs = late.push(recording.signal, time=1234.5)
    np.testing.assert_allclose([t for t, _ in outputs], expected[0] + 1234.5)
    np.testing.assert_allclose([p for _, p in outputs], expected[1], atol=1e-9)
    assert late.events_[0].kind == "start"
    # It begins with missing samples.
    hole = np.full((8, 300), np.nan)
    other = _decoder(model, recording)
    found = _run(other, np.concatenate([hole, recording.signal], axis=1), [100])
    np.testing.assert_allclose(found[0][:3], expected[0][:3] + 1.5)


def test_a_channel_dies(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    signal = recording.signal
    whole = _run(_decoder(model, recording), signal, [200])
    for value in (0.0, np.nan):
        broken = signal.copy()
        broken[2, 2000:3000] = value
        decoder = _decoder(model, recording)
        times, found = _run(decoder, broken, [170])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(times, whole[0])
        kinds = [event.kind for event in decoder.events_]
        assert kinds == ["calibrated", "dead channels", "channels live"]
        assert recording.ch_names[2] in decoder.events_[1].text
        before = times < 10.0  # the resampler looks 80 ms ahead
        np.testing.assert_allclose(found[before], whole[1][before], atol=1e-6)
    # Most of them die: there is nothing to say.
    broken = signal.copy()
    broken[:6, 2000:] = 0.0
    times, _ = _run(_decoder(model, recording), broken, [200])
    assert times[-1] < 13.0


def test_trials_and_reset(data):
    X, recording = data
    model = MODELS["smoothed"](X).fit(X, X.y)
    signal = recording.signal
    decoder = _decoder(model, recording)
    first = _run(decoder, signal, [500])
    again = _run(decoder.reset(), signal, [500])
    # The calibration stays, so that there is an output from the first window on.
    assert again[0][0] == 2.0
    assert decoder.model_ is not model and decoder.model is model
    plain = copy.deepcopy(model)
    plain[0].steps_[1][1].set_params(transition_noise=1e6)  # smooths nothing
    alone = _run(_decoder(plain, recording), signal, [500])
    other, outputs = _decoder(model, recording), []
    for start in range(0, signal.shape[1], 200):
        other.start_trial()  # each window is a trial: nothing is smoothed
        outputs += other.push(signal[:, start : start + 200])
    np.testing.assert_allclose([p for _, p in outputs], alone[1], atol=1e-4)
    assert np.abs(first[1] - alone[1]).max() > 1e-3


def test_strides_longer_than_a_window(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    options = {"calibration_seconds": None, "stride_seconds": 5.0}
    decoder = _decoder(model, recording, **options)
    times, found = _run(decoder, recording.signal, [123])
    assert times.tolist() == [2.0, 7.0, 12.0, 17.0, 22.0]
    every = _decoder(model, recording, calibration_seconds=None)
    dense = dict(zip(*_run(every, recording.signal, [4800]), strict=True))
    np.testing.assert_allclose(found, [dense[time] for time in times], atol=1e-9)


@pytest.mark.slow
def test_memory_does_not_grow(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    decoder = _decoder(model, recording, calibration_seconds=None)
    chunk = recording.signal[:, :400]
    for _ in range(5):
        decoder.push(chunk)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(12):
            decoder.push(chunk)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


def test_missing_samples_by_hand():
    samples = Samples(1, max_gap=2)
    found = list(samples.push(np.array([[np.nan, 1.0, np.nan, np.nan, 4.0, 5.0]])))
    assert [lost for lost, _ in found] == [1, 0]
    assert np.concatenate([x for _, x in found], axis=1).tolist() == [[1, 2, 3, 4, 5]]
    assert list(samples.push(np.array([[np.nan, np.nan]]))) == []
    assert samples.n_missing == 2
    samples.skip(1)
    [(lost, x)] = samples.push(np.array([[9.0]]))
    assert lost == 3 and x.tolist() == [[9.0]]
    two = Samples(2, max_gap=2)
    [(_, x)] = two.push(np.array([[1.0, np.nan, 3.0], [np.nan, 5.0, np.nan]]))
    assert x.tolist() == [[1.0, 1.0, 3.0], [0.0, 5.0, 5.0]]


def test_bad_input_is_refused(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    decoder = _decoder(model, recording, calibration_seconds=None)
    for chunk in (np.zeros(8), np.zeros((7, 10)), np.zeros((8, 10, 2))):
        with pytest.raises(ValueError, match=r"shape \(8, n_samples\)"):
            decoder.push(chunk)
    for options, message in [
        ({"window_seconds": 0}, "window_seconds"), ({"stride_seconds": -1}, "stride"),
        ({"l_freq": 120.0}, "l_freq"), ({"l_freq": 30.0, "h_freq": 20.0}, "below"),
        ({"calibration_seconds": 1.0}, "calibration_seconds"),
        ({"subject": "03"}, "dataset/subject"), ({"max_gap_seconds": -1}, "max_gap"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            _decoder(model, recording, **options)
    ridge = make_pipeline(DifferentialEntropy(), RidgeClassifier()).fit(X, X.y)
    with pytest.raises(TypeError, match="RidgeClassifier does not have"):
        _decoder(ridge, recording)
    with pytest.raises(TypeError, match="has no classes_"):
        _decoder(DifferentialEntropy().fit(X), recording)
    beside = make_union(
        DifferentialEntropy(), WindowFeatures(DifferentialEntropy(), [LDSSmoother()])
    )
    model = _model(extractor=beside).fit(X, X.y)
    with pytest.raises(TypeError, match="FeatureUnion holds a step that runs along"):
        _decoder(model, recording)


def test_causal_smoothing_is_the_filter():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 2))
    ids = {"trials": ["1"] * 6 + ["2"] * 6, "onsets": list(range(6)) * 2}
    causal = LDSSmoother(transition_noise=0.5, causal=True).fit(x)
    found = causal.transform(x, **ids)
    np.testing.assert_array_equal(found[[0, 6]], x[[0, 6]])
    # The last window of a smoother that knows nothing of the first state.
    both = LDSSmoother(transition_noise=0.5, initial_variance=1e8).fit(x)
    np.testing.assert_allclose(
        found[[5, 11]], both.transform(x, **ids)[[5, 11]], rtol=1e-6
    )
    later = x.copy()
    later[4:6] += 10
    np.testing.assert_array_equal(causal.transform(later, **ids)[:4], found[:4])
    one = causal.online()
    np.testing.assert_array_equal([one.push(row) for row in x[:6]], found[:6])
    with pytest.raises(ValueError, match="causal"):
        LDSSmoother(causal="yes").fit(x)


def test_running_normaliser_one_by_one():
    rng = np.random.default_rng(0)
    x = 5 + rng.standard_normal((30, 3))
    normalizer = RunningNormalizer(decay=0.9).fit(rng.standard_normal((20, 3)))
    session = normalizer.online()
    found = [session.push(row) for row in x]
    np.testing.assert_allclose(found, normalizer.transform(x), rtol=1e-9)


def test_components_and_tangent_space(data):
    X, recording = data
    steps = [SubjectScaler(), CorrelatedComponents(), LDSSmoother()]
    head = LogisticRegression(max_iter=5000)
    for model in (
        _model(*steps),
        tangent_space(recentre=True),
        make_pipeline(WindowAlignment(), DifferentialEntropy(), head),
        make_pipeline(WindowAlignment(), _encoder(), head),
    ):
        decoder = _decoder(model.fit(X, X.y), recording)
        times, found = _run(decoder, recording.signal[:, :2400], [160])
        assert len(times) == 5 and np.isfinite(found).all()


def test_scaling_of_people_together_needs_no_calibration(data):
    X, recording = data
    head = LogisticRegression(max_iter=5000)
    model = make_pipeline(DifferentialEntropy(), SubjectScaler(), head).fit(X, X.y)
    decoder = _decoder(model, recording, calibration_seconds=None)
    times, found = _run(decoder, recording.signal[:, :1200], [100])
    windows = EEGWindows.from_arrays(
        resample(recording.signal[None, :, :400], 200.0, 125.0),
        ch_names=recording.ch_names, sfreq=125.0,
    )  # fmt: skip
    np.testing.assert_allclose(found[0], model.predict_proba(windows)[0], atol=1e-2)
    assert times[0] == 2.0


def test_a_real_stream_of_lsl(data):
    lsl = pytest.importorskip("mne_lsl.lsl")
    import threading
    import time

    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    sfreq, names = recording.sfreq, list(recording.ch_names)
    signal = recording.signal[:, :1400].astype(np.float64)
    info = lsl.StreamInfo("test", "EEG", 9, sfreq, "float64", "sklearn-mdjpt-test")
    info.set_channel_names([*names[::-1], "trigger"])
    outlet = lsl.StreamOutlet(info)
    rows = np.concatenate([1e6 * signal[::-1], np.zeros((1, 1400))]).T.copy()
    stop = threading.Event()

    def play(outlet):
        outlet.wait_for_consumers(timeout=20)
        for start in range(0, 1400, 50):
            if stop.is_set():
                return
            outlet.push_chunk(np.ascontiguousarray(rows[start : start + 50]))
            time.sleep(0.02)  # faster than life

    thread = threading.Thread(target=play, args=(outlet,))
    thread.start()
    found = []
    options = {"calibration_seconds": None, "max_gap_seconds": 1000.0}
    decoder = _decoder(model, recording, **options)
    try:
        # Asked of LSL itself: where it finds the stream, so must we.
        if not lsl.resolve_streams(timeout=10, source_id="sklearn-mdjpt-test"):
            pytest.skip("the network of this machine lets LSL find no stream")
        for output in decode_lsl(
            decoder, source_id="sklearn-mdjpt-test", scale=1e-6, duration=20
        ):
            found.append(output[1])
            if len(found) == 4:
                break
    finally:
        stop.set()
        thread.join()
    # Stamps of a stream that is played faster than life overlap: compare the first.
    expected = _run(_decoder(model, recording, **options), signal, [1400])[1]
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    with pytest.raises(RuntimeError, match="found 0 within"):
        next(decode_lsl(decoder, source_id="no such stream", timeout=0.5))


def test_offsets_leave_no_ripple(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    theirs = EEGWindows.from_recordings([recording], window_seconds=2.0)
    ready = calibrate(model, theirs[:4])
    options = {"calibration_seconds": None}
    plain = _run(_decoder(ready, recording, **options), recording.signal, [100])
    offsets = np.linspace(-0.02, 0.02, 8)[:, None]  # 20 mV
    moved = recording.signal.astype(float) + offsets
    found = _run(_decoder(ready, recording, **options), moved, [100])
    np.testing.assert_allclose(found[1], plain[1], atol=1e-3)
    railed = recording.signal.astype(float)
    railed[3] = 0.005
    decoder = _decoder(ready, recording, **options)
    _run(decoder, railed, [100])
    assert [event.kind for event in decoder.events_] == ["dead channels"]


def test_calibration_counts_samples_and_not_time(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    signal = recording.signal
    silent = np.concatenate([np.zeros((8, 3000)), signal], axis=1)
    decoder = _decoder(model, recording)
    _run(decoder, silent, [150])
    said = {event.kind: event for event in decoder.events_}
    assert said["calibrated"].time >= 20.0
    assert "Calibrated to" in said["calibrated"].text
    # A long gap in the calibration does not end it.
    decoder = _decoder(model, recording)
    decoder.push(signal[:, :600], time=0.0)
    decoder.push(signal[:, 600:], time=63.0)
    [event] = [event for event in decoder.events_ if event.kind == "calibrated"]
    assert 65.0 < event.time < 70.0
    assert "Calibrated to 4 windows" in event.text  # 3 s before the gap, 3 after it


def test_a_clock_that_begins_anew(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    decoder = _decoder(model, recording, calibration_seconds=None)
    signal = recording.signal
    decoder.push(signal[:, :2000], time=500.0)
    outputs = decoder.push(signal[:, 2000:4000], time=0.0)
    outputs += decoder.push(signal[:, 4000:], time=10.0)
    assert [event.kind for event in decoder.events_] == ["start", "restart"]
    assert outputs[0][0] == pytest.approx(2.0)
    assert len(outputs) == 12
    # Stamps that jitter by some hundredths of a second are of samples in a row.
    rng = np.random.default_rng(0)
    decoder = _decoder(model, recording, calibration_seconds=None)
    for start in range(0, 4800, 40):
        jitter = rng.uniform(-0.02, 0.02)
        decoder.push(signal[:, start : start + 40], time=9.0 + start / 200 + jitter)
    assert [event.kind for event in decoder.events_] == ["start"]


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_another_unit_is_noticed(data, factor):
    X, recording = data
    model = MODELS["smoothed"](X).fit(X, X.y)
    theirs = EEGWindows.from_recordings([recording], window_seconds=2.0)
    decoder = _decoder(
        calibrate(model, theirs[:6]), recording, calibration_seconds=None
    )
    decoder.push(recording.signal[:, :1000])
    assert decoder.events_ == []
    with pytest.warns(UserWarning, match="another unit, rate or cap"):
        decoder.push(factor * recording.signal[:, 1000:2500])
    assert "far" in [event.kind for event in decoder.events_]


def test_people_of_the_training_are_not_calibrated(data):
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    with pytest.raises(ValueError, match="not calibrated to 'A/01'"):
        _decoder(model, recording, calibration_seconds=None, subject="A/01")


def test_more_bad_input(data):
    X, recording = data
    model = MODELS["alone"](X).fit(X, X.y)
    decoder = _decoder(model, recording, calibration_seconds=None)
    with pytest.raises(TypeError, match="real numbers"):
        decoder.push(recording.signal[:, :10] + 1j)
    for time in (np.nan, "now"):
        with pytest.raises((ValueError, TypeError), match="time, of the chunk's first"):
            decoder.push(recording.signal[:, :10], time)
    with pytest.raises(TypeError, match="ch_names must be a list"):
        StreamingDecoder(model, ch_names=None, sfreq=200.0)
    for bad in (None, recording, [recording]):
        with pytest.raises(TypeError, match="Calibration takes windows"):
            calibrate(MODELS["scaled"](X).fit(X, X.y), bad)


@pytest.mark.parametrize("edges", [(None, None), (0.5, 40.0)])
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_cap_that_dies_says_nothing(data, edges, value):
    """What filters still gave of it moved, and was decoded with certainty."""
    X, recording = data
    model = MODELS["scaled"](X).fit(X, X.y)
    signal = recording.signal[:, :4800].astype(float)
    signal[:-1, 2400:] = value  # from 12 s on; one channel lives
    signal[-1, 2400:] += np.sin(np.arange(2400)) * signal[-1].std()
    decoder = _decoder(model, recording, l_freq=edges[0], h_freq=edges[1])
    times, _ = _run(decoder, signal, [40])
    assert 12 <= times[-1] <= 16
    last = [e for e in decoder.events_ if e.kind == "dead channels"][-1]
    assert "too few live" in last.text


@pytest.mark.parametrize("kind", ["selective", "search", "calibrated"])
def test_another_unit_is_noticed_inside_of_others(data, kind):
    X, recording = data
    model = {
        "selective": SelectiveClassifier(MODELS["scaled"](X), threshold=0.5),
        "search": GridSearchCV(MODELS["scaled"](X), {}, cv=LeaveSubjectsOut()),
        "calibrated": CalibratedClassifierCV(
            MODELS["scaled"](X), cv=LeaveSubjectsOut(), ensemble=False
        ),
    }[kind].fit(X, X.y)
    signal = recording.signal[:, :2400].astype(float)
    signal[:, 1600:] *= 1e6
    decoder = _decoder(model, recording)
    with pytest.warns(UserWarning, match="another unit"):
        _run(decoder, signal, [100])
    assert "far" in [event.kind for event in decoder.events_]
    plain = _decoder(MODELS["scaled"](X).fit(X, X.y), recording)
    if kind != "calibrated":
        found = _run(_decoder(model, recording), signal[:, :1600], [100])[1]
        expected = _run(plain, signal[:, :1600], [100])[1]
        np.testing.assert_allclose(found, expected, atol=1e-9)
