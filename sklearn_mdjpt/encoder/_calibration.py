"""What an encoder keeps of the people that it was calibrated to."""

import numpy as np
import torch

from ..nn import NormStatistics
from ..windows._people import check_people, people_of, rows_by_name
from ._saved import Calibration
from ._transform import (
    computing_features,
    encode_windows,
    far_windows,
    statistics_rows,
    warn_of_far_windows,
)


def calibrate(encoder, X):
    """Return the statistics of the people in X, as `MDJPTEncoder.calibrate` fixes them.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted; it is not changed.
    X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
        Windows of one or more people.

    Returns
    -------
    dict of str to Calibration
        By person.
    """
    module = encoder.module_
    windows, people = check_people(X)
    windows, reader = encoder._read(windows, module, encoder._fitted_parameters)
    rows_of = {
        name: statistics_rows(reader, windows.metadata, rows)
        for name, rows in rows_by_name(people).items()
    }
    amplitudes = dict.fromkeys(rows_of)
    if reader.window_norm is not None:
        amplitudes = {name: reader.amplitude(rows) for name, rows in rows_of.items()}
        reader.fix_amplitudes(people, amplitudes)
    statistics = dict.fromkeys(rows_of)
    if module.subject_norm is not None:
        with computing_features(encoder):
            statistics = _find_statistics(
                module, reader, windows.metadata, rows_of, encoder.batch_size
            )
    return {name: Calibration(amplitudes[name], statistics[name]) for name in rows_of}


def read_calibrated(encoder, X):
    """Return X as windows, and a reader of them that knows the fixed amplitudes."""
    windows, reader = encoder._read(X, encoder.module_, encoder._fitted_parameters)
    fixed = {
        name: one.amplitude
        for name, one in encoder._calibrations.items()
        if one.amplitude is not None
    }
    reader.fix_amplitudes(people_of(windows.metadata), fixed)
    return windows, reader


def known_statistics(encoder):
    """Return the fixed statistics of the network, for each person that has some."""
    return {
        name: one.statistics
        for name, one in encoder._calibrations.items()
        if one.statistics is not None
    }


@torch.inference_mode()
def _find_statistics(module, reader, metadata, rows_of, batch_size):
    """Return each person's statistics; warn of windows that rule them."""
    device = next(module.parameters()).device
    found, far = {}, []
    for name, rows in rows_of.items():
        encoded = encode_windows(
            module, reader, metadata, rows, batch_size=batch_size, device=device
        )
        statistics = module.norm_statistics([z for _, z in encoded])
        features = [module.features_from(z, statistics).cpu() for _, z in encoded]
        order = np.concatenate([batch for batch, _ in encoded])
        far.append(order[far_windows(torch.cat(features).numpy())])
        found[name] = NormStatistics(*(value.cpu().clone() for value in statistics))
    warn_of_far_windows(far, metadata)
    return found
