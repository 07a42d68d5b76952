"""``convert``: write a released checkpoint in the format of the package."""

from ..encoder._conversion import convert
from ._options import check_output, released_activation


def run(options):
    """Convert the checkpoint, and print where the result is."""
    output = check_output(options.output, options.overwrite)
    convert(
        options.checkpoint, output, released_activation=released_activation(options)
    )
    print(f"{output}: written. MDJPTEncoder(weights={str(output)!r}) takes it.")
