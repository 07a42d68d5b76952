"""What cleaning did to a recording."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from .._validation import check_option, list_some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMAT = "sklearn_mdjpt cleaning report"
_CHANNEL_COLUMNS = ("trial", "channel", "step", "rule", "value", "made_of")
_COMPONENT_COLUMNS = ("component", "label", "probability", "removed")
_STEPS = ("given", "before ICA", "after ICA")


@dataclass
class CleaningReport:
    """What was done to which channel and component of a recording.

    `clean_recording` makes it; it holds plain values only.

    Parameters
    ----------
    ch_names : list of str
        Channels of the cleaned recording.
    sfreq, new_sfreq : float
        Sampling rate before and after, in hertz.
    positions : list of list of float
        Where the channels are, in metres (head coordinates).
    trials : list of dict
        Of each trial ``trial`` (its id or number), ``start`` and ``stop`` in seconds.
    channels : list of dict
        One for each interpolation: ``trial``, ``channel``, ``step`` ("given": marked
        bad before, "before ICA", "after ICA"), ``rule`` and ``value`` (see
        `find_bad_channels`), ``made_of`` (list of neighbours).
    components : list of dict
        One for each component of the ICA: ``component`` (number), ``label`` ("brain",
        "muscle", "eye", "heart", "line noise", "channel noise", "other"),
        ``probability`` of that label, ``removed``, and ``topography``, its weights at
        the channels (largest magnitude 1).
    rank : int or None, default=None
        Rank of what the ICA was fitted on; None without ICA.
    n_iterations : int or None, default=None
        That the ICA took.
    left_out : list of str, default=[]
        EEG channels without a position, and reference electrodes.
    warnings : list of str, default=[]
        What cleaning warned of.
    parameters : dict, default={}
        Parameters of `clean_recording`.
    versions : dict, default={}
        Versions of the packages that did the work.
    """

    ch_names: list
    sfreq: float
    new_sfreq: float
    positions: list
    trials: list
    channels: list
    components: list
    rank: int | None = None
    n_iterations: int | None = None
    left_out: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)

    def to_frame(
        self, what: Literal["channels", "components"] = "channels"
    ) -> pd.DataFrame:
        """Return a table of the interpolated channels or of the components.

        Parameters
        ----------
        what : {"channels", "components"}, default="channels"
            Of what.

        Returns
        -------
        DataFrame
            One row for each interpolation of a channel in a trial, or each component;
            columns as the attribute of that name says (without topographies).
        """
        check_option(what, ("channels", "components"), "what")
        if what == "channels":
            return pd.DataFrame(self.channels, columns=list(_CHANNEL_COLUMNS))
        return pd.DataFrame(self.components, columns=list(_COMPONENT_COLUMNS))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as dicts, lists, texts and numbers.

        Returns
        -------
        dict
            What JSON can hold, with the format's name and version.
        """
        return {"format": _FORMAT, "format_version": 1} | asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make a report of what `to_dict` gave.

        Parameters
        ----------
        content : dict
            The content.

        Returns
        -------
        CleaningReport

        Raises
        ------
        ValueError
            If it is no report, or one of a newer version.
        """
        found = content.get("format") if isinstance(content, dict) else None
        version = content.get("format_version") if found == _FORMAT else None
        if version != 1:
            raise ValueError(
                f"Expected a {_FORMAT!r} of version 1, found {found!r} of version "
                f"{version!r}."
            )
        names = {one.name for one in fields(cls)}
        found = set(content) - {"format", "format_version"}
        if found != names:
            raise ValueError(
                f"The report lacks {list_some(sorted(names - found)) or 'nothing'} and "
                f"has {list_some(sorted(found - names)) or 'nothing'} too many."
            )
        return cls(**{name: content[name] for name in names})

    def to_json(self) -> str:
        """Return the report as a JSON text.

        Returns
        -------
        str
            `to_dict` in JSON.
        """
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make a report of what `to_json` gave.

        Parameters
        ----------
        text : str or bytes
            The JSON.

        Returns
        -------
        CleaningReport
        """
        return cls.from_dict(json.loads(text))

    @property
    def removed(self) -> list[int]:
        """Numbers of the components that were removed."""
        return [row["component"] for row in self.components if row["removed"]]

    def __repr__(self):
        n_pairs = len({(row["trial"], row["channel"]) for row in self.channels})
        n_all = len(self.ch_names) * len(self.trials)
        ica = "no ICA"
        if self.rank is not None:
            ica = f"{len(self.removed)} of {len(self.components)} components removed"
        several = len(self.trials) != 1
        return (
            f"<CleaningReport: {len(self.ch_names)} channels, {len(self.trials)} "
            f"trial{'s' * several}, {n_pairs} of {n_all} channels of trials "
            f"interpolated, {ica}>"
        )

    def plot(self) -> Figure:
        """Draw which channels were interpolated in which trial, and the components.

        Returns
        -------
        matplotlib.figure.Figure
            Trials and channels on the left, topographies of the components on the
            right: those that were removed first, then by the variance they explain.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "Plotting needs matplotlib: pip install 'sklearn_mdjpt[plot]'."
            ) from error

        with_components = bool(self.components)
        n_lines = len(self.ch_names)
        height = max(3.2, 1.2 + 0.15 * n_lines)
        width = min(9.0, 3.0 + 0.28 * len(self.trials))
        figure = Figure(
            figsize=(width + 6.5 * with_components, height), layout="constrained"
        )
        if not with_components:
            self._plot_channels(figure.subplots())
            return figure
        grid = figure.add_gridspec(1, 2, width_ratios=[width, 6.5])
        self._plot_channels(figure.add_subfigure(grid[0]).subplots())
        self._plot_components(figure.add_subfigure(grid[1]))
        return figure

    def _plot_channels(self, axes):
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        names = [trial["trial"] for trial in self.trials]
        image = np.zeros((len(self.ch_names), len(names)))
        for row in self.channels:
            place = self.ch_names.index(row["channel"]), names.index(row["trial"])
            image[place] = 1 + _STEPS.index(row["step"])
        # Okabe and Ito's colours, which the colour-blind tell apart.
        colors = ["#f2f2f2", "#999999", "#0072b2", "#d55e00"]
        axes.imshow(
            image, aspect="auto", cmap=ListedColormap(colors), vmin=0, vmax=3,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_yticks(range(len(self.ch_names)), self.ch_names, fontsize=7)
        step = max(1, len(names) // 25)
        ticks = range(0, len(names), step)
        axes.set_xticks(ticks, [names[k] for k in ticks], fontsize=7)
        if max(map(len, names), default=0) > 3:
            axes.tick_params(axis="x", rotation=90)
        axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
        axes.set_yticks(np.arange(1, len(self.ch_names)) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.7)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("trial")
        axes.set_title("Interpolated channels", fontsize=10)
        used = {int(value) for value in np.unique(image)} - {0}
        handles = [
            Patch(color=colors[k + 1], label=step)
            for k, step in enumerate(_STEPS)
            if k + 1 in used
        ] or [Patch(color=colors[0], label="none")]
        axes.figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles),
            frameon=False, fontsize=8, handlelength=1,
        )  # fmt: skip

    def _plot_components(self, figure):
        import mne

        from ..windows._mne import head_montage

        info = mne.create_info(self.ch_names, 100.0, "eeg", verbose="error")
        montage = head_montage(self.ch_names, np.array(self.positions))
        info.set_montage(montage, verbose="error")
        rows = sorted(self.components, key=lambda row: not row["removed"])
        n_columns = 5
        # As many lines as there is room for beside the channels.
        most = n_columns * max(2, len(self.ch_names) // 9)
        shown = rows[:most]
        n_rows = -(-len(shown) // n_columns)
        axes = figure.subplots(n_rows, n_columns, squeeze=False)
        for ax, row in zip(axes.ravel(), shown, strict=False):
            mne.viz.plot_topomap(
                np.array(row["topography"]), info, axes=ax, show=False, contours=0,
                sensors=False, vlim=(-1, 1),
            )  # fmt: skip
            ax.set_title(
                f"{row['component']}: {row['label']} {row['probability']:.2f}",
                color="#d55e00" if row["removed"] else "black",
                fontweight="bold" if row["removed"] else "normal",
                fontsize=8,
            )
        for ax in axes.ravel()[len(shown) :]:
            ax.set_axis_off()
        title = f"{len(self.removed)} of {len(rows)} components removed (orange)"
        if len(rows) > len(shown):
            title += f"; the first {len(shown)} are shown"
        figure.suptitle(title, fontsize=10)
