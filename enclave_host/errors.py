"""The daemon's domain exception. Rendered once, at the top: on the command line, in a reply, in a gRPC status."""

import errno


class HostError(Exception):
    """Something the daemon refuses or fails to do: fact, cause, remedy. `code` is the errno for protocols."""

    def __init__(self, text: str, *, code: int = errno.EINVAL) -> None:
        super().__init__(text)
        self.code = code


class NotFoundError(HostError):
    """There is no such pool, enclave or lease."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=errno.ENOENT)


class ExhaustedError(HostError):
    """No free compartment, and no permission to build another enclave."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=errno.ENOSPC)


class BusyError(HostError):
    """The thing is in use."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=errno.EBUSY)


class ExistsError(HostError):
    """The name is taken."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=errno.EEXIST)
