# SPDX-License-Identifier: Apache-2.0
"""One thread at a time: what would go wrong in silence is refused."""

import functools

from .errors import ProgramError


def alone(method):
    """Refuse a method of a device (which has a ``_lock``, a `threading.RLock`) while another thread is inside such a one."""
    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        if not self._lock.acquire(blocking=False):
            raise ProgramError(f"Device.{method.__name__}: another thread uses this device, which serves one at a time; give each thread "
                               "a device of its own, or have all of them hold one threading.Lock around what they do with it")
        try:
            return method(self, *args, **kwargs)
        finally:
            self._lock.release()

    return guarded
