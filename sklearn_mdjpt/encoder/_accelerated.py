"""The net behind ``MDJPTEncoder(accelerate=True)``: skorch on Accelerate."""

from skorch.dataset import unpack_data
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

    def train_step_single(self, batch, **fit_params):
        """Compute the loss of all processes, and the gradient."""
        self._set_training(True)
        x, y = unpack_data(batch)
        with self.accelerator.autocast():
            outputs = self.infer(x)
        loss = self.get_loss(outputs, y, X=x, training=True)
        # Accelerate averages gradients over processes; the loss needs their sum.
        self.accelerator.backward(loss * self.processes.num_processes)
        # Callbacks that clip the gradient need its true size.
        self.accelerator.unscale_gradients()
        return {"loss": loss, "y_pred": outputs}
