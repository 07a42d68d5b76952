"""The net behind ``MDJPTEncoder(accelerate=True)``: skorch on Accelerate."""

from skorch.hf import AccelerateMixin

from ._processes import SingleProcess
from ._training import PretrainingNet


class AcceleratedPretrainingNet(AccelerateMixin, PretrainingNet):
    """Pre-training net on the processes, devices and precision of an Accelerator."""

    def _initialize_accelerator(self):
        # A loss without parameters has nothing to share, and torch refuses to wrap it.
        criteria, self._criteria = self._criteria, []
        try:
            return super()._initialize_accelerator()
        finally:
            self._criteria = criteria

    def get_iterator(self, dataset, training=False):
        """Return the dataset, which knows itself what is this process's part."""
        return dataset

    def finish_training(self):
        """Be a net like any other, which can be pickled, once the training is over."""
        self._unwrap_accelerator()
        self.optimizer_ = self.optimizer_.optimizer
        self.device = str(self.processes.device)
        self.processes, self.accelerator = SingleProcess(), None

    # That of Accelerate's mixin averages gradients, and knows no clipping.
    train_step_single = PretrainingNet.train_step_single
