"""Native libraries print to the process's standard error behind Python's back: hold it back unless it matters."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2 by any language; shows it if the body raises."""
    if sys.stderr is None:  # closed from the beginning, as in some services: there is nobody to keep quiet for
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            log.seek(0)
            os.write(saved, log.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
