"""What was published of the SEED family: channels, names of files, times, emotions."""

from dataclasses import dataclass, field

# fmt: off
CHANNELS = (
    "FP1", "FPZ", "FP2", "AF3", "AF4",
    "F7", "F5", "F3", "F1", "FZ", "F2", "F4", "F6", "F8",
    "FT7", "FC5", "FC3", "FC1", "FCZ", "FC2", "FC4", "FC6", "FT8",
    "T7", "C5", "C3", "C1", "CZ", "C2", "C4", "C6", "T8",
    "TP7", "CP5", "CP3", "CP1", "CPZ", "CP2", "CP4", "CP6", "TP8",
    "P7", "P5", "P3", "P1", "PZ", "P2", "P4", "P6", "P8",
    "PO7", "PO5", "PO3", "POZ", "PO4", "PO6", "PO8",
    "CB1", "O1", "OZ", "O2", "CB2",
)
# fmt: on
"""The channels of the family's MATLAB files, in their order."""


def _words(codes, words):
    """Return the emotions that numbers stand for; ``words`` by number."""
    return [words[int(code)] for code in codes.split()]


_SEED_WORDS = {1: "positive", 0: "neutral", -1: "negative"}
_SEED_LABELS = _words("1 0 -1 -1 0 1 -1 0 1 1 0 -1 0 1 -1", _SEED_WORDS)
# Days of the published recordings, by subject. Sessions have no number in the names:
# these tell them apart where a file of a subject is absent.
_SEED_DATES = {
    1: (20131027, 20131030, 20131107),
    2: (20140404, 20140413, 20140419),
    3: (20140603, 20140611, 20140629),
    4: (20140621, 20140702, 20140705),
    5: (20140411, 20140418, 20140506),
    6: (20130712, 20131016, 20131113),
    7: (20131027, 20131030, 20131106),
    8: (20140511, 20140514, 20140521),
    9: (20140620, 20140627, 20140704),
    10: (20131130, 20131204, 20131211),
    11: (20140618, 20140625, 20140630),
    12: (20131127, 20131201, 20131207),
    13: (20140527, 20140603, 20140610),
    14: (20140601, 20140615, 20140627),
    15: (20130709, 20131016, 20131105),
}
# Seconds from the start of the raw recording: the same for all subjects.
_SEED_STARTS = (
    27, 290, 551, 784, 1050, 1262, 1484, 1748, 1993, 2287, 2551, 2812, 3072, 3335, 3599
)  # fmt: skip
_SEED_STOPS = (
    262, 523, 757, 1022, 1235, 1457, 1721, 1964, 2258, 2524, 2786, 3045, 3307, 3573,
    3805,
)  # fmt: skip

_SEED_IV_WORDS = dict(enumerate(("neutral", "sad", "fear", "happy")))
_SEED_IV_LABELS = {
    1: _words("1 2 3 0 2 0 0 1 0 1 2 1 1 1 2 3 2 2 3 3 0 3 0 3", _SEED_IV_WORDS),
    2: _words("2 1 3 0 0 2 0 2 3 3 2 3 2 0 1 1 2 1 0 3 0 1 3 1", _SEED_IV_WORDS),
    3: _words("1 2 2 1 3 3 3 1 1 2 1 0 2 3 3 0 2 3 0 0 2 0 1 0", _SEED_IV_WORDS),
}

_SEED_V_WORDS = ("disgust", "fear", "sad", "neutral", "happy")
_SEED_V_LABELS = {
    1: _words("4 1 3 2 0 4 1 3 2 0 4 1 3 2 0", _SEED_V_WORDS),
    2: _words("2 1 3 0 4 4 0 3 2 1 3 4 1 2 0", _SEED_V_WORDS),
    3: _words("2 1 3 0 4 4 0 3 2 1 3 4 1 2 0", _SEED_V_WORDS),
}
# fmt: off
_SEED_V_TIMES = {  # seconds: starts, stops
    1: ((30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932,
         3204),
        (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172,
         3359)),
    2: ((30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490,
         2741),
        (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709,
         2817)),
    3: ((30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726,
         2888),
        (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857,
         3066)),
}
# fmt: on

_SEED_VII_LABELS = {  # ten clips, then ten more with the same emotions
    session: 2 * words.split()
    for session, words in {
        1: "happy neutral disgust sad anger anger sad disgust neutral happy",
        2: "anger sad fear neutral surprise surprise neutral fear sad anger",
        3: "happy surprise disgust fear anger anger fear disgust surprise happy",
        4: "disgust sad fear surprise happy happy surprise fear sad disgust",
    }.items()
}
# Two recordings without usable events, and the time of day at which each began; when
# trials began and ended is in a table of the computer that played the clips.
SEED_VII_CLOCKS = {"14_20221015_1": "14:25:34", "9_20221111_3": "14:01:27"}


@dataclass(frozen=True)
class SeedDataset:
    """One dataset of the family.

    Attributes
    ----------
    name : str
        Name of the dataset.
    n_subjects : int
        Number of subjects, who are counted from 1.
    files : dict of str to str
        Folder and name of the files of each source ("preprocessed", "raw").
    labels : dict of int to list of str
        Emotion of each trial, by session.
    stimulus : str
        Format of a clip's name; it is filled with the numbers of the session, the
        trial, and the clip (which counts through all sessions).
    variable : str
        Regular expression of the variables of a MATLAB file, with the number of the
        trial (of the clip, where a file holds all sessions).
    one_file : bool
        Whether a MATLAB file holds all sessions of a subject.
    dates : dict of int to tuple of int
        Days of the sessions, by subject, where the names of MATLAB files hold the day
        instead of the session.
    label_file : str
        Name, in lower case, of the release's file with the codes of the labels.
    words : dict of int to str
        What these codes stand for.
    times : dict of int to (tuple, tuple)
        Starts and stops of the trials in raw recordings, in seconds, by session.
        Without them the recordings' events tell.
    time_file : str
        Name, in lower case, of the release's file with these times.
    ticks : int
        How many units of time in that file make a second.
    """

    name: str
    n_subjects: int
    files: dict
    labels: dict
    stimulus: str
    variable: str = r".*_eeg(\d+)"
    one_file: bool = False
    dates: dict = field(default_factory=dict)
    label_file: str = ""
    words: dict = field(default_factory=dict)
    times: dict = field(default_factory=dict)
    time_file: str = ""
    ticks: int = 1

    def trials(self, session):
        """Return what is known of the trials of a session, a list of dict."""
        labels = self.labels[session]
        return [
            {
                "trial": str(trial),
                "stimulus": self.stimulus.format(
                    session=session,
                    trial=trial,
                    clip=(session - 1) * len(labels) + trial,
                ),
                "label": label,
            }
            for trial, label in enumerate(labels, 1)
        ]


SEED = SeedDataset(
    "SEED",
    n_subjects=15,
    files={
        "preprocessed": "Preprocessed_EEG/{subject}_{date}.mat",
        "raw": "SEED_RAW_EEG/{subject}_{session}.cnt",
    },
    labels=dict.fromkeys((1, 2, 3), _SEED_LABELS),
    stimulus="{trial:02d}",
    dates=_SEED_DATES,
    label_file="label.mat",
    words=_SEED_WORDS,
    times=dict.fromkeys((1, 2, 3), (_SEED_STARTS, _SEED_STOPS)),
    time_file="time.txt",
    ticks=1000,
)
SEED_IV = SeedDataset(
    "SEED-IV",
    n_subjects=15,
    files={"preprocessed": "eeg_raw_data/{session}/{subject}_{date}.mat"},
    labels=_SEED_IV_LABELS,
    stimulus="{session}-{trial:02d}",
    label_file="readme.txt",
    words=_SEED_IV_WORDS,
)
SEED_V = SeedDataset(
    "SEED-V",
    n_subjects=16,
    files={"raw": "EEG_raw/{subject}_{session}_{date}.cnt"},
    labels=_SEED_V_LABELS,
    stimulus="{session}-{trial:02d}",
    times=_SEED_V_TIMES,
    time_file="trial_start_end_timestamp.txt",
)
SEED_VII = SeedDataset(
    "SEED-VII",
    n_subjects=20,
    files={
        "preprocessed": "EEG_preprocessed/{subject}.mat",
        "raw": "EEG_raw/{subject}_{date}_{session}.cnt",
    },
    labels=_SEED_VII_LABELS,
    stimulus="{clip:02d}",
    variable=r"(\d+)",
    one_file=True,
)
