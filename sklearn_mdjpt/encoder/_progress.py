"""What pre-training writes into its history, and shows of its progress."""

import sys
import time

from skorch.callbacks import Callback

from .._validation import warn

_WARMUP_BATCHES = 3
_LONG_SECONDS = 3600.0


class Seconds(Callback):
    """Keep the seconds of an epoch; those between a kill and a resumption are none."""

    def on_epoch_begin(self, net, **kwargs):
        """Start the clock."""
        self.seconds_ = 0.0
        self._last = time.perf_counter()

    def on_batch_end(self, net, **kwargs):
        """Add the time of the batch."""
        now = time.perf_counter()
        self.seconds_ += now - self._last
        self._last = now

    def on_epoch_end(self, net, **kwargs):
        """Record the time of the epoch."""
        net.history.record("dur", self.seconds_)

    def on_resume(self):
        """Go on from now; the clock of another process was another."""
        self._last = time.perf_counter()


class LearningRate(Callback):
    """Keep the learning rate of an epoch's last step in the history, for loggers."""

    def on_epoch_end(self, net, **kwargs):
        """Record the rate; schedulers, which come later, set that of the next epoch."""
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])


class SpatialNorm(Callback):
    """Keep log ||W_s|| in the history: a CDA that falls with it shows nothing."""

    def on_epoch_end(self, net, **kwargs):
        """Record the norm of the mixing's weight."""
        weight = net.encoder.spatial.weight.detach()
        net.history.record("log_spatial_norm", weight.norm().log().item())


class Progress(Callback):
    """A line of progress with the expected time; a warning if it is long.

    Parameters
    ----------
    verbose : int
        0 prints nothing.  On a terminal the line is drawn anew, elsewhere there is a
        line for each epoch.
    """

    def __init__(self, verbose):
        self.verbose = verbose

    def on_train_begin(self, net, X=None, **kwargs):
        """Start the clock."""
        self._n_epochs, self._n_batches = net.max_epochs, len(X)
        self.on_resume()

    def on_resume(self):
        """Start the clock anew: it tells of the batches of this process only."""
        self._done, self._before = 0, None
        self._start = self._last_draw = time.perf_counter()
        self._announced = False

    def on_batch_end(self, net, training=True, **kwargs):
        """Count the batch, announce the expected time once, redraw the line."""
        self._done += 1
        now = time.perf_counter()
        if self._done == 1:
            # The first batch resamples recordings and warms caches up.
            self._second = now
            self._before = net.n_batches - 1
        left = self._total() - self._before
        if not self._announced and self._done > min(_WARMUP_BATCHES, left - 1):
            self._announced = True
            expected = self._per_batch(now) * left
            again = f", {self._before} batches done before" * (self._before > 0)
            self._say(
                f"Pre-training: {self._n_epochs} epochs of {self._n_batches} batches"
                f"{again}, expected time {clock(expected)}."
            )
            if expected > _LONG_SECONDS and net.compute_device.type == "cpu":
                warn(
                    f"Pre-training will take about {clock(expected)} on this CPU. "
                    "MDJPTEncoder.small() is a preset for minutes; a GPU is used when "
                    "there is one."
                )
        if self.verbose and sys.stdout.isatty() and now - self._last_draw > 0.1:
            self._last_draw = now
            self._draw(net, now)

    def on_epoch_end(self, net, **kwargs):
        """Print the epoch's losses."""
        epoch = net.history[-1]
        now = time.perf_counter()
        left = self._per_batch(now) * (self._total() - net.n_batches)
        self._say(
            f"  epoch {len(net.history):>3}/{self._n_epochs}  "
            f"isa {epoch['isa']:.4f}  cda {epoch['cda']:.4f}  {clock(left)} left"
        )

    def _per_batch(self, now):
        if self._done < 2:
            return now - self._start
        return (now - self._second) / (self._done - 1)

    def _total(self):
        return self._n_epochs * self._n_batches

    def _draw(self, net, now):
        done, total = net.n_batches, self._total()
        share = done / total
        bar = ("#" * int(24 * share)).ljust(24, ".")
        batch = net.history[-1, "batches", -1]
        left = clock(self._per_batch(now) * (total - done))
        print(
            f"\r  [{bar}] {share:4.0%}  isa {batch['isa']:.3f}  "
            f"cda {batch['cda']:.3f}  {left} left ",
            end="",
            flush=True,
        )

    def _say(self, text):
        if self.verbose:
            clear = "\r\x1b[K" if sys.stdout.isatty() else ""
            print(clear + text, flush=True)


def clock(seconds):
    """Show seconds as "1 h 05 min", "3 min 20 s" or "12 s"."""
    seconds = int(seconds + 0.5)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
