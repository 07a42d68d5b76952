"""``convert``: a released checkpoint in our own format."""

from ..encoder._conversion import convert
from ._options import activation, check_output


def run(options):
    """Convert, and say where the result is."""
    output = check_output(options.output, options.overwrite)
    convert(
        options.checkpoint, output, released_activation=activation(options.activation)
    )
    print(f"{output}: written. MDJPTEncoder(weights={str(output)!r}) takes it.")
