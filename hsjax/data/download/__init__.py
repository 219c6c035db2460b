"""Official distributions from the network: resumed, checked, unpacked, and in their place all at once.

Standard library only. `fetch` is one file over HTTP (`session` its connections, `note` its memory), `unpack` an
archive, `names` what a file may be called, `register` what third_party/ says about a dataset, `place` the folders and
the lock, `distribution` all of it in order.
"""

from hsjax.data.download.distribution import Summary, download
from hsjax.data.download.register import available

__all__ = ["Summary", "available", "download"]
