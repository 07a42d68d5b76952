"""Rows that several processes hold, put together for a loss over all of them."""

from torch import distributed


def gather_rows(own, rows, n_rows):
    """Put together the rows of all processes; a gradient reaches those of this one.

    Every process computes the whole loss, and the gradient of it with respect to its
    own rows.  As the others' rows are constants to it, the sum over processes of the
    parameters' gradients is the gradient that a single process would have computed.

    Parameters
    ----------
    own : Tensor of shape (n_own, ...)
        Rows of this process; all shapes agree beyond the first axis.
    rows : Tensor of int, shape (n_own,)
        Their places; each place is of one process.
    n_rows : int
        Rows of all processes.

    Returns
    -------
    Tensor of shape (n_rows, ...)
        Equal in all processes.
    """
    rows = rows.to(own.device)
    everyone = own.new_zeros(n_rows, *own.shape[1:])
    everyone[rows] = own.detach()
    distributed.all_reduce(everyone)
    return everyone.index_copy(0, rows, own)
